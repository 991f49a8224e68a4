//! Names of users and groups: Windows has no numbers for them, so there is nothing to name.

/// Returns the name of a user, if the system knows one.
pub fn user_name(_uid: u32) -> Option<String> {
    None
}

/// Returns the name of a group, if the system knows one.
pub fn group_name(_gid: u32) -> Option<String> {
    None
}

/// Returns the number of a user.
pub fn user_id(_name: &str) -> Option<u32> {
    None
}

/// Returns the number of a group.
pub fn group_id(_name: &str) -> Option<u32> {
    None
}
