//! The examples of the help, as a user of Windows writes them.

use clap::Command;

/// What the examples say, and what they say on Windows; whole lines first, as what follows would change them.
const WORDS: [(&str, &str); 21] = [
    ("\n  hardback man | man -l -", ""),
    ("~/.local/share/man/man1", "man"),
    (
        "completions bash > ~/.local/share/bash-completion/completions/hardback",
        "completions powershell > hardback.ps1     `. .\\hardback.ps1` in your profile loads it",
    ),
    (
        "--source /home -- tar -C {} -czf /mnt/disk/home.tar.gz .",
        "--source C:\\Users --drive -- robocopy \"{}\" E:\\Users /E",
    ),
    ("\n  hardback with-shadow --source /srv --in-place -- borg create /mnt/disk/borg::{now} /srv", ""),
    ("\n  rsync -aHAX --rsync-path='hardback with-shadow --rsync-compat' server:/srv/ /backup/srv/", ""),
    ("~/.cache/thumbnails --source ~", "C:\\Users\\me\\AppData\\Local\\Temp\\a --source C:\\Users\\me"),
    ("~/Documents", "C:\\Users\\me\\Documents"),
    ("~/Pictures", "C:\\Users\\me\\Pictures"),
    ("~/Desktop", "C:\\Users\\me\\Desktop"),
    ("/mnt/disk/backup", "E:\\backup"),
    ("/mnt/disk", "E:\\"),
    ("backup / ", "backup C:\\ "),
    ("/home ", "C:\\Users "),
    ("/srv/a/data", "C:\\a\\data"),
    ("/srv/b/data", "C:\\b\\data"),
    ("/tmp/all", "E:\\all"),
    ("/tmp/try", "E:\\try"),
    ("linux-home", "windows-user"),
    ("linux-system", "windows-system"),
    // The older of its two shells knows only these.
    ("'", "\""),
];

/// Puts the examples of a command and of those below it in the words of Windows.
pub(super) fn of_windows(command: Command) -> Command {
    let examples = command.get_after_help().map(ToString::to_string);
    let command = command.mut_subcommands(of_windows);
    match examples {
        Some(examples) => {
            command.after_help(WORDS.iter().fold(examples, |text, (linux, windows)| text.replace(linux, windows)))
        }
        None => command,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples_of(command: &Command) -> Vec<String> {
        let own = command.get_after_help().map(ToString::to_string).into_iter();
        own.chain(command.get_subcommands().flat_map(examples_of)).collect()
    }

    #[test]
    fn examples_of_windows_have_no_path_of_unix_and_are_as_many() {
        let (here, there) = (crate::args::plain_command(), of_windows(crate::args::plain_command()));
        let (here, there) = (examples_of(&here), examples_of(&there));
        assert!(here.len() > 20 && here.len() == there.len());
        for text in &there {
            for word in ["~", " /mnt", "/srv", "/home", "/tmp", "linux-", "'", "bash", " / ", "tar ", "rsync"] {
                assert!(!text.contains(word), "{word} in {text}");
            }
        }
        for (linux, _) in WORDS {
            assert!(here.iter().any(|text| text.contains(linux)), "no example has {linux}");
        }
    }

    /// What stands behind two spaces explains the example.
    #[test]
    fn examples_are_command_lines_on_both() {
        let there = of_windows(crate::args::plain_command());
        let texts = [examples_of(&crate::args::plain_command()), examples_of(&there)].concat();
        let lines: Vec<&str> = texts.iter().flat_map(|text| text.lines()).collect();
        let lines =
            lines.iter().filter_map(|line| line.strip_prefix("  hardback ")).map(|line| format!("hardback {line}"));
        let mut tried = 0;
        for line in lines {
            let words =
                line.split("  ").next().unwrap_or_default().split([' ']).take_while(|word| !matches!(*word, ">" | "|"));
            // A quoted word of several is one for a shell.
            let mut quoted: Vec<String> = Vec::new();
            for word in words {
                match quoted.last_mut().filter(|last| last.matches(['\'', '"']).count() % 2 == 1) {
                    Some(last) => last.extend([" ", word]),
                    None => quoted.push(word.to_owned()),
                }
            }
            let result = crate::args::plain_command().try_get_matches_from(&quoted);
            assert!(result.is_ok(), "{line}: {}", result.unwrap_err());
            tried += 1;
        }
        assert!(tried > 80, "{tried}");
    }
}
