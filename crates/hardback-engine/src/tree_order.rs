//! The order of manifests and walks: in each folder first what is no folder, then the folders, each by name; a folder
//! stands before what is in it. Pure.

use std::cmp::Ordering;

/// An entry's path and whether it is a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) path: &'a [u8],
    pub(crate) is_dir: bool,
}

/// Compares two places in tree order. The top has an empty path and is before all others.
pub(crate) fn tree_order(a: Place<'_>, b: Place<'_>) -> Ordering {
    let top = |place: Place<'_>| !place.path.is_empty();
    let (mut a_names, mut b_names) = (a.path.split(is_slash).peekable(), b.path.split(is_slash).peekable());
    let by_top = top(a).cmp(&top(b));
    if by_top.is_ne() {
        return by_top;
    }
    loop {
        let (Some(a_name), Some(b_name)) = (a_names.next(), b_names.next()) else {
            // One has ended where both were equal so far; a folder is before what is in it.
            return a.path.len().cmp(&b.path.len());
        };
        let a_folder = a.is_dir || a_names.peek().is_some();
        let b_folder = b.is_dir || b_names.peek().is_some();
        let order = a_folder.cmp(&b_folder).then_with(|| a_name.cmp(b_name));
        if order.is_ne() {
            return order;
        }
    }
}

fn is_slash(b: &u8) -> bool {
    *b == b'/'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_first_and_a_folder_before_what_is_in_it() {
        let sorted = ["", "b", "z", "a/", "a/y", "a/b/", "a/b/x", "a-b/", "a-b/c", "c/"];
        let place = |text: &'static str| {
            let path = text.strip_suffix('/').unwrap_or(text).as_bytes();
            Place { path, is_dir: text.ends_with('/') || text.is_empty() }
        };
        for (i, a) in sorted.into_iter().enumerate() {
            for (j, b) in sorted.into_iter().enumerate() {
                assert_eq!(tree_order(place(a), place(b)), i.cmp(&j), "{a:?} {b:?}");
            }
        }
    }
}
