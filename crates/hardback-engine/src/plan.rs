//! Decides what to do with one entry. Pure: no I/O, no clock; everything comes in as values.

use crate::manifest::Entry;
use crate::problem::ProblemKind;
use hardback_platform::{Attributes, Kind, Metadata, Xattrs};

/// What the decision needs to know beside the entry itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// The source's file ids stay the same while a file lives.
    pub(crate) stable_ids: bool,
    /// The source's change time moves on every change.
    pub(crate) reliable_ctime: bool,
    /// Compare contents even where size and times agree.
    pub(crate) checksum: bool,
}

/// What to do with an entry that is no directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    /// Content and metadata are as in the base: link to its file.
    Link,
    /// Nothing looks changed but that cannot be trusted: compare the content, then link, restamp or copy.
    Compare,
    /// The content is as in the base, the metadata is not: a new inode, filled from the base.
    Restamp,
    /// The content is new: copy it from the source.
    Copy,
    /// The metadata of the entry must be read in full before anything can be decided.
    Look,
}

/// Attribute bits that come with every `stat`; the others are read only where a file is opened anyway.
pub(crate) const STAT_ATTRIBUTES: u32 =
    Attributes::IMMUTABLE | Attributes::APPEND | Attributes::NODUMP | Attributes::COMPRESS;

/// Decides about an entry that is no directory.
///
/// `full` is what is read only when needed: the extended attributes and, of a symlink, the text. Without it the answer
/// may be [`Action::Look`], never a guess.
pub(crate) fn decide(
    source: &Metadata,
    full: Option<(&Xattrs, Option<&[u8]>)>,
    base: Option<&Entry>,
    rules: Rules,
) -> Action {
    let Some(base) = base.filter(|b| is_usable(b, source)) else { return Action::Copy };
    if source.kind == Kind::File && (base.size_bytes != source.size_bytes || base.mtime != source.mtime) {
        return Action::Copy;
    }
    let same_file = !rules.stable_ids || base.inode == Some(source.id.file);
    let same_ctime = rules.reliable_ctime && base.ctime.is_some() && base.ctime == source.ctime;
    let same_stat = base.mode == source.mode
        && base.owner == source.owner
        && base.mtime == source.mtime
        && base.attributes().0 & STAT_ATTRIBUTES == source.attributes.0 & STAT_ATTRIBUTES;
    let suspect = source.kind == Kind::File && source.size_bytes > 0 && (base.hot || rules.checksum);
    // What could not be read of it may be readable now.
    if same_file && same_ctime && same_stat && base.problem().is_none() {
        return if suspect { Action::Compare } else { Action::Link };
    }
    let Some((xattrs, link_text)) = full else { return Action::Look };
    if source.kind != Kind::File {
        let same = same_stat
            && base.still_has_xattrs(xattrs)
            && base.link_text() == link_text
            && base.device() == source.device;
        return if same { Action::Link } else { Action::Copy };
    }
    let same_metadata = same_stat && base.still_has_xattrs(xattrs);
    // A changed mode explains a changed ctime; nothing explains another file, or a ctime that moved alone.
    let explained = same_file && !same_metadata;
    let unreliable_but_same = same_file && same_metadata && !rules.reliable_ctime;
    match (explained || unreliable_but_same || source.size_bytes == 0, same_metadata) {
        _ if suspect => Action::Compare,
        (true, true) => Action::Link,
        (true, false) => Action::Restamp,
        (false, _) => Action::Compare,
    }
}

/// Returns whether the base holds something that could serve for the entry.
fn is_usable(base: &Entry, source: &Metadata) -> bool {
    base.kind == source.kind
        && base.is_in_tree()
        && matches!(base.problem(), None | Some(ProblemKind::Metadata))
        && base.raw_of() == source.raw_of
        && (base.kind != Kind::File || base.size_bytes == 0 || base.content.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use hardback_platform::{FileId, Owner, Time};

    const RULES: Rules = Rules { stable_ids: true, reliable_ctime: true, checksum: false };

    fn source() -> Metadata {
        Metadata {
            kind: Kind::File,
            size_bytes: 10,
            mtime: Time { seconds: 100, nanos: 5 },
            ctime: Some(Time { seconds: 200, nanos: 7 }),
            id: FileId { volume: 1, file: 42 },
            nlink: 1,
            mode: Some(0o644),
            owner: Some(Owner { uid: 1, gid: 2 }),
            device: None,
            attributes: Attributes(0),
            raw_of: None,
            blocks: 8,
        }
    }

    fn base() -> Entry {
        let s = source();
        let mut entry = Entry::new(b"a", Kind::File);
        entry.size_bytes = s.size_bytes;
        entry.mtime = s.mtime;
        entry.ctime = s.ctime;
        entry.inode = Some(s.id.file);
        entry.mode = s.mode;
        entry.owner = s.owner;
        entry.content = Some(crate::manifest::ContentRef { generation: 1, ordinal: 0 });
        entry
    }

    #[track_caller]
    fn check(expected: Action, change_source: impl Fn(&mut Metadata), change_base: impl Fn(&mut Entry), rules: Rules) {
        let mut s = source();
        change_source(&mut s);
        let mut b = base();
        change_base(&mut b);
        let none = Xattrs::new();
        let mut action = decide(&s, None, Some(&b), rules);
        if action == Action::Look {
            action = decide(&s, Some((&none, None)), Some(&b), rules);
        }
        assert_eq!(action, expected);
    }

    #[test]
    fn the_table_of_the_design() {
        let same = |_: &mut Metadata| {};
        let as_is = |_: &mut Entry| {};
        let touched = |s: &mut Metadata| s.ctime = Some(Time { seconds: 300, nanos: 0 });
        check(Action::Link, same, as_is, RULES);
        check(Action::Copy, |s| s.size_bytes = 11, as_is, RULES);
        check(Action::Copy, |s| s.mtime.nanos += 1, as_is, RULES);
        // A same-size edit with the mtime put back moves only the ctime.
        check(Action::Compare, touched, as_is, RULES);
        check(Action::Compare, |s| s.id.file = 43, as_is, RULES);
        check(
            Action::Restamp,
            |s| {
                touched(s);
                s.mode = Some(0o600);
            },
            as_is,
            RULES,
        );
        check(
            Action::Restamp,
            |s| {
                touched(s);
                s.owner = Some(Owner { uid: 9, gid: 2 });
            },
            as_is,
            RULES,
        );
        check(
            Action::Compare,
            |s| {
                s.id.file = 43;
                s.mode = Some(0o600);
            },
            as_is,
            RULES,
        );
        check(Action::Compare, same, |b| b.hot = true, RULES);
        check(Action::Compare, same, as_is, Rules { checksum: true, ..RULES });
        check(Action::Copy, same, |b| b.extra_mut().problem = Some(crate::ProblemKind::Changing), RULES);
        // Its content is as it was; what was not known of it is looked for again.
        check(Action::Link, same, |b| b.extra_mut().problem = Some(ProblemKind::Metadata), RULES);
        check(Action::Copy, same, |b| b.content = None, RULES);
        check(Action::Copy, same, |b| b.extra_mut().absent = true, RULES);
        check(Action::Copy, same, |b| b.kind = Kind::Fifo, RULES);
        // Stored in plain so far, and to be stored as it is on the disk from now on.
        check(Action::Copy, |s| s.raw_of = Some(10), as_is, RULES);
        check(Action::Link, |s| s.raw_of = Some(7), |b| b.extra_mut().raw_of = Some(7), RULES);
    }

    #[test]
    fn a_changed_attribute_makes_a_new_inode_and_a_lone_ctime_is_compared() {
        let mut s = source();
        s.ctime = Some(Time { seconds: 300, nanos: 0 });
        let note = vec![(b"user.note".to_vec(), b"x".to_vec())];
        assert_eq!(decide(&s, None, Some(&base()), RULES), Action::Look);
        assert_eq!(decide(&s, Some((&note, None)), Some(&base()), RULES), Action::Restamp);
        assert_eq!(decide(&s, Some((&Vec::new(), None)), Some(&base()), RULES), Action::Compare);
    }

    #[test]
    fn without_ctime_and_ids_size_and_mtime_and_metadata_decide() {
        let rules = Rules { stable_ids: false, reliable_ctime: false, checksum: false };
        check(
            Action::Link,
            |s| {
                s.id.file = 9;
                s.ctime = None;
            },
            |_| {},
            rules,
        );
        check(Action::Restamp, |s| s.mode = Some(0o600), |_| {}, rules);
    }

    #[test]
    fn a_symlink_is_linked_only_with_the_same_text() {
        let mut s = source();
        s.kind = Kind::Symlink;
        s.ctime = None;
        let mut b = base();
        b.kind = Kind::Symlink;
        b.extra_mut().link_text = Some(b"to".to_vec());
        let none = Xattrs::new();
        assert_eq!(decide(&s, Some((&none, Some(b"to"))), Some(&b), RULES), Action::Link);
        assert_eq!(decide(&s, Some((&none, Some(b"other"))), Some(&b), RULES), Action::Copy);
    }
}
