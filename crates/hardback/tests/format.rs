//! docs/format.md: what its shell recipes say about a real target is true.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on fails, and says what it saw"
)]
#![cfg(unix)]
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "the page is read and a shell is started")]

mod pages;

const PREPARE: &str = r#"
TARGET=$HOME/target JOB=laptop
mkdir -p Documents/notes
cd Documents
printf 'Dear Anna' > letter.txt; echo >> letter.txt
echo gone > gone.txt
echo private > closed.txt; chmod 640 closed.txt
head -c 3000 /dev/urandom > 'old name.bin'
echo plan > 'notes/plan 1.txt'
printf x > "$(printf 'Eredit\303\240')"; printf y > "$(printf 'bad\377')"
ln -s letter.txt link; ln closed.txt closed-too.txt; mkfifo pipe
cd ..
hardback backup -q Documents "$TARGET" --job laptop
BEFORE=$(readlink "$TARGET/laptop/latest")
printf 'Dear Anna, hi\n' > Documents/letter.txt; printf x >> Documents/letter.txt
setfattr -n user.note -v 'for Anna' Documents/letter.txt
rm Documents/gone.txt
mv 'Documents/old name.bin' 'Documents/new name.bin'
hardback backup -q Documents "$TARGET" --job laptop
SNAPSHOT=$(readlink "$TARGET/laptop/latest")
mkdir work; cd work
"#;

#[test]
fn the_recipes_of_the_format_page_work() {
    pages::run("docs/format.md", PREPARE);
}
