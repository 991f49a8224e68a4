//! Drive letters for copies, for programs that take no path with `\\?\`: given for a time, and taken back only as long as
//! they lead where they were made to lead.

use crate::error::ShadowError;
use crate::provider::Copy;
use std::io;
use std::path::{Path, PathBuf};

/// The fields of a volume on record: the letter, where it leads, and who sees it.
const LETTER: &str = "letter";
const TARGET: &str = "letter-target";
const BOOT: &str = "letter-boot";
const SESSION: &str = "letter-session";

/// Who has letters of their own: one logon, until it ends or the computer does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Logon {
    /// Which start of the computer; empty where nobody can tell.
    pub(crate) boot: String,
    /// Which logon since then.
    pub(crate) session: String,
}

/// The drive letters of the system.
pub(crate) trait Letters: Send + Sync {
    /// Returns where a letter leads; `None` where it leads nowhere. It may have led elsewhere before, and does again when
    /// that is taken back.
    fn target(&self, letter: char) -> io::Result<Option<String>>;

    /// Lets a letter lead somewhere.
    fn define(&self, letter: char, target: &str) -> io::Result<()>;

    /// Takes back that a letter leads there, and nothing else of it.
    ///
    /// # Errors
    /// `NotFound`: it did not.
    fn remove(&self, letter: char, target: &str) -> io::Result<()>;

    /// Returns whose letters these are.
    fn logon(&self) -> io::Result<Logon>;
}

/// Writes into a copy which letter its root, a path with `\\?\`, is going to get.
pub(crate) fn choose(letters: &dyn Letters, copy: &mut Copy, root: &Path) -> Result<(), ShadowError> {
    let target = root.to_str().and_then(raw_target).ok_or_else(|| {
        let message = format!("{} cannot get a drive letter", root.display());
        ShadowError::refused(message, "leave out --drive")
    })?;
    let is_free = |letter: &char| matches!(letters.target(*letter), Ok(None));
    let letter = ('D'..='Z').rev().find(is_free).ok_or_else(|| {
        ShadowError::refused("there is no free drive letter", "free one of them, or leave out --drive")
    })?;
    let logon = letters.logon().map_err(|e| ShadowError::system("look whose drive letters these are", e))?;
    let fields = [(LETTER, letter.to_string()), (TARGET, target), (BOOT, logon.boot), (SESSION, logon.session)];
    copy.volume.fields.extend(fields.map(|(name, value)| (name.to_owned(), value)));
    Ok(())
}

/// Gives a copy the letter that was chosen; returns its root.
pub(crate) fn give(letters: &dyn Letters, copy: &Copy) -> Result<PathBuf, ShadowError> {
    let (letter, target) = (letter_of(copy)?, copy.volume.field(TARGET)?);
    let failed = |e| ShadowError::system(format!("give {} the drive letter {letter}:", copy.volume.shown), e);
    let taken = || ShadowError::refused(format!("somebody else took the drive letter {letter}:"), "try again");
    // It was free when it was chosen; to define it now would hide where it leads.
    if letters.target(letter).map_err(failed)?.is_some() {
        return Err(taken());
    }
    letters.define(letter, target).map_err(failed)?;
    match letters.target(letter).map_err(failed)? {
        Some(found) if found == target => Ok(PathBuf::from(format!(r"{letter}:\"))),
        _ => Err(taken()),
    }
}

/// Takes the letter of a copy back, if it has one. Somebody may have let it lead elsewhere since: ours is below that, and
/// is taken from there.
pub(crate) fn take_back(letters: &dyn Letters, copy: &Copy) -> Result<(), ShadowError> {
    if !copy.volume.fields.contains_key(LETTER) {
        return Ok(());
    }
    let (letter, target) = (letter_of(copy)?, copy.volume.field(TARGET)?);
    let failed = |e| ShadowError::system(format!("take the drive letter {letter}: back"), e);
    match letters.remove(letter, target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            match is_out_of_sight(letters, copy).map_err(failed)? {
                // It was never given, or was taken back, or went with its logon.
                false => Ok(()),
                true => Err(ShadowError::refused(
                    format!(
                        "the drive letter {letter}: was given in another logon session, and cannot be seen from here"
                    ),
                    "run `hardback shadow sweep` as who used --drive; a restart of the computer takes it back too",
                )),
            }
        }
        removed => removed.map_err(failed),
    }
}

/// Returns whether the letter of a copy is that of another logon since the same start of the computer.
fn is_out_of_sight(letters: &dyn Letters, copy: &Copy) -> io::Result<bool> {
    let (Ok(boot), Ok(session)) = (copy.volume.field(BOOT), copy.volume.field(SESSION)) else { return Ok(false) };
    let own = letters.logon()?;
    Ok(!boot.is_empty() && own.boot == boot && own.session != session)
}

fn letter_of(copy: &Copy) -> Result<char, ShadowError> {
    let text = copy.volume.field(LETTER)?;
    let mut letters = text.chars().filter(char::is_ascii_uppercase);
    match (letters.next(), text.len()) {
        (Some(letter), 1) => Ok(letter),
        _ => Err(ShadowError::refused(format!("the record says {text:?} for a drive letter"), "it is damaged")),
    }
}

/// Returns a path with `\\?\` as the system's objects are named, without a `\` at the end.
fn raw_target(path: &str) -> Option<String> {
    let path = path.strip_suffix('\\').unwrap_or(path);
    match path.strip_prefix(r"\\?\GLOBALROOT") {
        Some(object) => Some(object.to_owned()),
        None => path.strip_prefix(r"\\?\").map(|path| format!(r"\??\{path}")),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::provider::Volume;
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    /// Letters that are no system's: of each where it leads, the last first.
    #[derive(Default)]
    pub(crate) struct FakeLetters(Mutex<BTreeMap<char, Vec<String>>>, Mutex<(String, String)>);

    impl FakeLetters {
        /// Is somebody else from now on.
        fn log_on(&self, boot: &str, session: &str) {
            *self.1.lock().unwrap() = (boot.to_owned(), session.to_owned());
        }

        pub(crate) fn set(&self, letter: char, target: &str) {
            self.0.lock().unwrap().entry(letter).or_default().insert(0, target.to_owned());
        }

        pub(crate) fn all(&self) -> String {
            self.0.lock().unwrap().keys().collect()
        }
    }

    impl Letters for FakeLetters {
        fn target(&self, letter: char) -> io::Result<Option<String>> {
            Ok(self.0.lock().unwrap().get(&letter).map(|targets| targets[0].clone()))
        }

        fn define(&self, letter: char, target: &str) -> io::Result<()> {
            self.set(letter, target);
            Ok(())
        }

        fn remove(&self, letter: char, target: &str) -> io::Result<()> {
            let mut all = self.0.lock().unwrap();
            let targets = all.get_mut(&letter).ok_or(io::ErrorKind::NotFound)?;
            let at = targets.iter().position(|other| other == target).ok_or(io::ErrorKind::NotFound)?;
            targets.remove(at);
            all.retain(|_, targets| !targets.is_empty());
            Ok(())
        }

        fn logon(&self) -> io::Result<Logon> {
            let (boot, session) = self.1.lock().unwrap().clone();
            Ok(Logon { boot, session })
        }
    }

    fn copy() -> Copy {
        let volume = Volume { provider: "vss".into(), shown: "volume C:".into(), fields: BTreeMap::new() };
        Copy { name: "hardback-shadow-0123456789abcdef-0".into(), volume }
    }

    #[test]
    fn a_copy_gets_the_last_free_letter_until_it_is_taken_back() {
        let letters = FakeLetters::default();
        letters.set('Z', "other");
        let mut copy = copy();
        let root = Path::new(r"\\?\GLOBALROOT\Device\HarddiskVolumeShadowCopy7\");
        choose(&letters, &mut copy, root).unwrap();
        assert_eq!(letters.all(), "Z", "it is on record before");
        assert_eq!(give(&letters, &copy).unwrap(), Path::new(r"Y:\"));
        assert_eq!(letters.target('Y').unwrap().unwrap(), r"\Device\HarddiskVolumeShadowCopy7");
        take_back(&letters, &copy).unwrap();
        take_back(&letters, &copy).unwrap();
        assert_eq!(letters.all(), "Z");
    }

    #[test]
    fn a_letter_of_somebody_else_is_left_alone() {
        let letters = FakeLetters::default();
        let mut copy = copy();
        choose(&letters, &mut copy, Path::new(r"\\?\C:\frozen\")).unwrap();
        give(&letters, &copy).unwrap();
        letters.set('Z', "other");
        take_back(&letters, &copy).unwrap();
        letters.remove('Z', r"\??\C:\frozen").unwrap_err();
        assert_eq!(letters.target('Z').unwrap().as_deref(), Some("other"));
        give(&letters, &copy).unwrap_err();
        letters.remove('Z', "other").unwrap();
        assert_eq!(letters.all(), "", "nothing was hidden below the other");
        for letter in 'D'..='Z' {
            letters.set(letter, "other");
        }
        choose(&letters, &mut copy, Path::new(r"\\?\C:\frozen\")).unwrap_err();
        copy.volume.fields.insert(LETTER.into(), "ZZ".into());
        take_back(&letters, &copy).unwrap_err();
    }

    #[test]
    fn a_letter_that_cannot_be_seen_stays_on_record_until_the_computer_starts_again() {
        let mut copy = copy();
        let (ours, others) = (FakeLetters::default(), FakeLetters::default());
        ours.log_on("7", "0-3e7");
        choose(&ours, &mut copy, Path::new(r"\\?\C:\frozen\")).unwrap();
        give(&ours, &copy).unwrap();
        others.log_on("7", "0-1234");
        let error = take_back(&others, &copy).unwrap_err();
        assert!(error.to_string().contains("another logon") && error.hint().unwrap().contains("sweep"), "{error:?}");
        others.log_on("8", "0-1234");
        take_back(&others, &copy).unwrap();
        take_back(&ours, &copy).unwrap();
        assert_eq!(ours.all(), "");
        // Nobody knows whether the computer was started again.
        ours.log_on("", "0-3e7");
        choose(&ours, &mut copy, Path::new(r"\\?\C:\frozen\")).unwrap();
        others.log_on("", "0-1234");
        take_back(&others, &copy).unwrap();
    }

    #[test]
    fn paths_are_named_as_the_system_names_its_objects() {
        let check = |path: &str, expected: Option<&str>| assert_eq!(raw_target(path).as_deref(), expected);
        check(r"\\?\GLOBALROOT\Device\X1\", Some(r"\Device\X1"));
        check(r"\\?\C:\frozen\", Some(r"\??\C:\frozen"));
        check(r"C:\frozen", None);
    }
}
