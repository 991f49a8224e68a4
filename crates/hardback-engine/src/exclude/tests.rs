//! Tables of patterns and paths, golden texts, and the presets. The comparison with git is `tests/exclude_git.rs`.

use super::*;

fn rules(list: &[u8]) -> ExcludeRules {
    ExcludeBuilder::new().file(list, "list").build().unwrap()
}

fn is_out(rules: &ExcludeRules, path: &[u8]) -> bool {
    let (path, is_dir) = match path.strip_suffix(b"/") {
        Some(path) => (path, true),
        None => (path, false),
    };
    rules.check(path, is_dir).is_excluded()
}

fn check_rules(what: &str, rules: &ExcludeRules, out: &[&[u8]], inside: &[&[u8]]) {
    for path in out {
        assert!(is_out(rules, path), "{} should be out with {what}", String::from_utf8_lossy(path));
    }
    for path in inside {
        assert!(!is_out(rules, path), "{} should be in with {what}", String::from_utf8_lossy(path));
    }
}

/// Checks what a list says about some paths; one with a `/` at the end is a directory.
fn check(list: &[u8], out: &[&[u8]], inside: &[&[u8]]) {
    check_rules(&String::from_utf8_lossy(list), &rules(list), out, inside);
}

#[test]
fn names_directories_and_anchors() {
    check(b"*.o", &[b"a.o", b"x/y/a.o", b"a.o/", b".o"], &[b"a.oo", b"a.O", b"o"]);
    check(b"cache/", &[b"cache/", b"x/cache/"], &[b"cache", b"x/cache", b"xcache/"]);
    check(b"/tmp", &[b"tmp", b"tmp/"], &[b"a/tmp", b"tmpx"]);
    check(b"docs/*.pdf", &[b"docs/a.pdf"], &[b"x/docs/a.pdf", b"docs/x/a.pdf"]);
    check(b"/a/", &[b"a/"], &[b"a", b"b/a/"]);
    check(b"a/b/", &[b"a/b/"], &[b"a/b", b"c/a/b/"]);
    check(b"*", &[b"a", b"a/b/c"], &[]);
    check(b"/*", &[b"a"], &[b"a/b"]);
    check(b"a?c", &[b"abc", "a\u{e4}c".as_bytes()], &[b"ac", b"a/c", b"abbc"]);
}

#[test]
fn two_stars_stand_for_directories() {
    check(b"**/x", &[b"x", b"a/x", b"a/b/x"], &[b"xx", b"a/bx"]);
    check(b"**/a/x", &[b"a/x", b"b/a/x"], &[b"x", b"ba/x"]);
    check(b"a/**/x", &[b"a/x", b"a/b/x", b"a/b/c/x"], &[b"x", b"ax", b"b/a/x", b"a/bx"]);
    check(b"a/**", &[b"a/b", b"a/b/c"], &[b"a", b"a/", b"b/a/c"]);
    check(b"a/**/", &[b"a/b/", b"a/b/c/"], &[b"a/", b"a/b"]);
    check(b"**", &[b"a", b"a/b"], &[]);
    check(b"***/x", &[b"x", b"a/b/x"], &[b"ax"]);
    check(b"a**/x", &[b"a/x", b"ab/x"], &[b"ab/c/x"]);
    check(b"a/**x", &[b"a/x", b"a/bx"], &[b"a/b/x"]);
}

#[test]
fn classes() {
    check(b"[ab]", &[b"a", b"x/b"], &[b"c", b"ab"]);
    check(b"[!ab]", &[b"c", "\u{e4}".as_bytes(), b"\xff"], &[b"a", b"cd"]);
    check(b"[^a-c]", &[b"d", b"-"], &[b"b"]);
    check(b"[a-c-e]", &[b"a", b"-", b"e"], &[b"d"]);
    check(b"[]a]", &[b"]", b"a"], &[b"[]a]"]);
    check(b"[!]a]", &[b"b"], &[b"]", b"a"]);
    check(br"[\]]", &[b"]"], &[br"\", br"\]"]);
    check(br"[\\-a]", &[br"\", b"]", b"a"], &[b"-"]);
    check(b"[[:alpha:]1]x", &[b"ax", b"1x"], &[b"2x", b":x"]);
    check(b"[[:a]", &[b"[", b":", b"a"], &[b"b"]);
    check(b"x[/y]z", &[b"xyz"], &[b"x/z", b"a/xyz"]);
    check(b"x[!y]z", &[b"x.z"], &[b"x/z"]);
    check(b"[&&a~~^]", &[b"&", b"~", b"^", b"a"], &[b"b"]);
}

#[test]
fn only_stars_questions_and_brackets_are_special() {
    check(b"{a,b}.c", &[b"{a,b}.c"], &[b"a.c", b"b.c"]);
    check(b"a+(b|c)$^", &[b"a+(b|c)$^"], &[b"aab", b"ab"]);
    check(b"a.c", &[b"a.c"], &[b"abc"]);
    check(br"\*\?\[", &[b"*?["], &[b"ab["]);
    check(br"\#a", &[b"#a"], &[b"a"]);
    check(br"\!a", &[b"!a"], &[b"a"]);
    check(br"a\\b", &[br"a\b"], &[b"ab", b"a/b"]);
    check(br"a\/b", &[b"a/b"], &[b"x/a/b"]);
}

#[test]
fn the_last_rule_wins() {
    check(b"*.o\n!keep.o", &[b"a.o"], &[b"keep.o", b"x/keep.o"]);
    check(b"!keep.o\n*.o", &[b"keep.o"], &[b"a"]);
    check(b"*\n!*/\n!*.txt", &[b"a", b"x/a"], &[b"x/", b"x/a.txt"]);
    check(b"a\n!a/\n", &[b"a"], &[b"a/"]);
    check(b"/x/*\n!/x/y\n", &[b"x/z"], &[b"x/", b"x/y"]);
    let rules = rules(b"*.o\n!keep.o\n");
    assert_eq!(rules.check(b"b", false), Verdict::Included);
    let Verdict::Reincluded(rule) = rules.check(b"keep.o", false) else { panic!("not brought back") };
    assert_eq!((rule.pattern.as_str(), rule.origin.to_string().as_str()), ("!keep.o", "list:2"));
}

#[test]
fn lists_have_comments_blank_lines_and_spaces_at_the_end() {
    check(b"# a\n\n   \na", &[b"a"], &[b"# a", b"   "]);
    check(b"a   \nb\\ \n", &[b"a", b"b "], &[b"b", b"a   "]);
    check(b"a\\  \n", &[b"a "], &[b"a", b"a  "]);
    check(b" a\n", &[b" a"], &[b"a"]);
    check(b"a\t\n", &[b"a\t"], &[b"a"]);
    check(b"a\r\nb\r\n\r\n", &[b"a", b"b"], &[b"\r"]);
    check(b"\xef\xbb\xbfa\n", &[b"a"], &[b"b"]);
    check(b"a #b\n", &[b"a #b"], &[b"a"]);
    let origin = RuleOrigin::CommandLine { index: 0 };
    let one = ExcludeBuilder::new().pattern(b"#a ", origin).build().unwrap();
    check_rules("--exclude '#a '", &one, &[b"#a "], &[b"#a"]);
}

#[test]
fn names_that_are_not_utf8() {
    check(b"*.o", &[b"\xff.o", b"\xc3/\xa4.o"], &[b"\xff"]);
    check(b"a?c", &[b"a\xffc"], &[b"a\xff\xff\xff\xffc"]);
    check(b"\xff\xfe", &[b"\xff\xfe", b"a/\xff\xfe"], &[b"\xfe\xff"]);
    check(b"/\xe4/*", &[b"\xe4/x"], &["\u{e4}/x".as_bytes()]);
    // A lone surrogate, as Windows names may hold one (WTF-8).
    check(b"*.tmp", &[b"\xed\xa0\x80.tmp"], &[b"\xed\xa0\x80"]);
    check(b"a*b", &[b"a\nb", b"a\0b"], &[]);
}

#[test]
fn case_counts_unless_told_otherwise() {
    let list = "Users/*.TMP\n[a-c]x\nÄRGER\nmixed\\\u{20}[[:upper:]]\n".as_bytes();
    let any_case = ExcludeBuilder::new().case_insensitive(true).file(list, "list").build().unwrap();
    let out: &[&[u8]] =
        &[b"USERS/a.tmp", b"users/A.Tmp", b"Bx", b"bX", "ärger".as_bytes(), "Ärger".as_bytes(), b"MIXED a"];
    check_rules("any case", &any_case, out, &[b"dx", "arger".as_bytes()]);
    check_rules("exact case", &rules(list), &[b"Users/a.TMP", b"mixed A"], &[b"USERS/a.tmp", b"Bx", b"mixed a"]);
}

#[test]
fn the_source_itself_is_never_out() {
    let rules = rules(b"*\n**\n*/\n");
    assert_eq!(rules.check(b"", true), Verdict::Included);
    check_explanation(&rules, b"", true, ".: included\n  no rule matches");
}

#[test]
fn no_rules_match_nothing() {
    for list in [&b""[..], b"\n\n", b"# only words\n"] {
        let rules = rules(list);
        assert!(rules.is_empty());
        assert_eq!(rules.check(b"a", true), Verdict::Included);
    }
    assert!(ExcludeRules::default().is_empty());
}

#[test]
fn absolute_paths_below_the_source_are_understood() {
    let build = |root: &[u8], pattern: &[u8]| {
        let origin = RuleOrigin::CommandLine { index: 0 };
        ExcludeBuilder::new().source_root(root).pattern(pattern, origin).build().unwrap()
    };
    type Row = (&'static [u8], &'static [u8], &'static [&'static [u8]], &'static [&'static [u8]]);
    let table: &[Row] = &[
        (b"/home/anna", b"/home/anna/.cache", &[b".cache"], &[b"home/anna/.cache", b"x/.cache"]),
        (b"/home/anna/", b"!/home/anna/.cache/", &[], &[b".cache/"]),
        (b"/home/anna", b"/.cache", &[b".cache"], &[]),
        (b"/home/anna", b"/home/annabel/x", &[b"home/annabel/x"], &[b"x"]),
        (b"/home/anna", b"home/anna/x", &[b"home/anna/x"], &[b"x"]),
        (b"/home/anna", b"/home/anna", &[], &[b"home/anna", b"anna", b"a"]),
        (b"/home/anna", b"/home/anna/**", &[b"a", b"a/b"], &[]),
        (b"/home/an*na", br"/home/an\*na/x", &[b"x"], &[]),
        (b"/", b"/proc/*", &[b"proc/1"], &[b"proc"]),
        (br"C:\", br"C:\pagefile.sys", &[b"pagefile.sys"], &[b"a/pagefile.sys"]),
        (br"C:\Users\Anna", br"c:\users\anna\App*\Local\*.tmp", &[b"AppData/Local/a.tmp"], &[b"Local/a.tmp"]),
        (br"C:\Users", b"C:/Users/x/", &[b"x/"], &[b"x"]),
        (br"C:\Users", br"D:\x", &[], &[b"x", b"D:/x"]),
        (br"C:\Users", b"*.o", &[b"a/b.o"], &[]),
        (br"\\?\C:\Users", br"C:\Users\x", &[b"x"], &[]),
        (br"\\server\share", br"\\server\share\x", &[b"x"], &[b"share/x"]),
    ];
    for (root, pattern, out, inside) in table {
        check_rules(&String::from_utf8_lossy(pattern), &build(root, pattern), out, inside);
    }
}

#[test]
fn directory_lists_hold_below_their_directory_and_win() {
    let outer = rules(b"*.o\n!/a/outer.o\n");
    let middle = outer.with_directory_file(b"a", b"!*.o\n/x\ny/\n").unwrap();
    let inner = middle.with_directory_file(b"a/b", b"*.o\n").unwrap();
    check_rules("the outer list", &outer, &[b"a/q.o"], &[b"a/x", b"a/outer.o"]);
    check_rules("the middle list", &middle, &[b"q.o", b"a/x", b"a/b/y/", b"ab/q.o"], &[b"a/q.o", b"x", b"a/b/x", b"a"]);
    check_rules("the inner list", &inner, &[b"a/b/q.o", b"a/x"], &[b"a/q.o", b"a/b/c"]);
    let rule = inner.check(b"a/b/q.o", false).rule().unwrap();
    assert_eq!(rule.to_string(), "'*.o' (a/b/.hardbackignore:1)");

    let root = ExcludeRules::default().with_directory_file(b"", b"/a\n").unwrap();
    check_rules("the list of the root", &root, &[b"a"], &[b"b/a"]);
    assert!(ExcludeRules::default().with_directory_file(b"a", b"# nothing\n").unwrap().is_empty());
}

#[test]
fn directory_lists_keep_the_case_setting_and_have_a_limit() {
    let any_case = ExcludeBuilder::new().case_insensitive(true).build().unwrap();
    let mut rules = any_case.with_directory_file(b"a", b"*.TMP\n").unwrap();
    check_rules("any case", &rules, &[b"a/x.tmp"], &[b"x.tmp"]);
    for _ in 1..DIRECTORY_FILES_NESTED_MAX {
        rules = rules.with_directory_file(b"a", b"x\n").unwrap();
    }
    let error = rules.with_directory_file(b"a", b"x\n").unwrap_err();
    assert!(matches!(error, ExcludeError::TooDeep { .. }), "{error}");
}

#[test]
fn bad_patterns_are_errors_with_place_and_hint() {
    type Row = (&'static [u8], PatternFault);
    let table: &[Row] = &[
        (b"!", PatternFault::Empty),
        (b"/", PatternFault::Empty),
        (b"!/", PatternFault::Empty),
        (b"a//b", PatternFault::EmptyComponent),
        (b"a//", PatternFault::EmptyComponent),
        (b"./a", PatternFault::DotComponent),
        (b"../a", PatternFault::DotComponent),
        (b"a/..", PatternFault::DotComponent),
        (b"[a", PatternFault::UnclosedClass),
        (b"a[", PatternFault::UnclosedClass),
        (b"[]", PatternFault::UnclosedClass),
        (br"[a\", PatternFault::UnclosedClass),
        (b"[a-", PatternFault::UnclosedClass),
        (b"[[:alpha:", PatternFault::UnclosedClass),
        (b"[z-a]", PatternFault::BackwardRange('z', 'a')),
        (b"[[:letter:]]", PatternFault::UnknownClass("letter".to_owned())),
        (b"[[:\xff:]]", PatternFault::UnknownClass("\u{fffd}".to_owned())),
        (b"[\xff]", PatternFault::ByteInClass),
        (br"a\", PatternFault::TrailingBackslash),
        (br"a\/", PatternFault::TrailingBackslash),
        (br"AppData\Local", PatternFault::NeedlessEscape('L')),
        (&[b'a'; pattern::PATTERN_BYTES_MAX + 1], PatternFault::TooLong),
    ];
    for (text, expected) in table {
        let mut list = b"# words\n".to_vec();
        list.extend_from_slice(text);
        let error = ExcludeBuilder::new().file(&list, "excludes.txt").build().unwrap_err();
        let ExcludeError::BadPattern { origin, fault, .. } = &error else { panic!("{error}") };
        assert_eq!((origin.to_string().as_str(), fault), ("excludes.txt:2", expected));
        assert!(!error.hint().is_empty());
    }
    assert!(ExcludeBuilder::new().file(&[b'a'; pattern::PATTERN_BYTES_MAX], "list").build().is_ok());
}

#[test]
fn messages_name_place_pattern_and_remedy() {
    let message = |builder: ExcludeBuilder| {
        let error = builder.build().unwrap_err();
        format!("{error}\nhint: {}", error.hint())
    };
    let origin = RuleOrigin::CommandLine { index: 1 };
    assert_eq!(
        message(ExcludeBuilder::new().pattern(br"Windows\Temp", origin)),
        r#"cannot use the exclude pattern 'Windows\Temp' (--exclude number 2): the backslash before 'T' has no meaning
hint: separate names by '/', on Windows too; '\' is for the characters '*?[\!#' and the space"#
    );
    assert_eq!(
        message(ExcludeBuilder::new().file(b"\xff\xfea\0\n\0", "list.txt")),
        "cannot read the exclude patterns in list.txt: line 1 holds a zero byte\n\
         hint: save the file as UTF-8; this looks like UTF-16"
    );
    assert_eq!(
        message(ExcludeBuilder::new().preset("linux")),
        "there is no exclude preset 'linux'\n\
         hint: the presets are linux-home, linux-system, developer, windows-user, windows-system"
    );
    let empty = ExcludeBuilder::new().pattern(b"", RuleOrigin::CommandLine { index: 0 });
    assert!(message(empty).starts_with("cannot use the exclude pattern '' (--exclude number 1): it names nothing"));
}

#[test]
fn too_many_patterns_are_an_error_and_many_are_not() {
    let list = |count: usize| (0..count).map(|index| format!("/some/where/{index}-*-[a-z]\n")).collect::<String>();
    let many = rules(list(5_000).as_bytes());
    check_rules("5000 patterns", &many, &[b"some/where/4711-x-a"], &[b"some/where/4711-x-A"]);
    let too_many = "*[!a]*[!b]*[!c]*[!d]*\n".repeat(40_000);
    let error = ExcludeBuilder::new().file(too_many.as_bytes(), "list").build().unwrap_err();
    assert!(matches!(error, ExcludeError::TooLarge { count: 40_000, .. }), "{error}");
}

#[test]
fn threads_share_the_rules() {
    fn assert_shared<T: Send + Sync + Clone>() {}
    assert_shared::<ExcludeRules>();
}

fn check_explanation(rules: &ExcludeRules, path: &[u8], is_dir: bool, expected: &str) {
    assert_eq!(rules.explain(path, is_dir).to_string(), expected);
}

#[test]
fn explanations() {
    let rules = ExcludeBuilder::new()
        .preset("developer")
        .file(b"*.o\n!keep.o\n/logs/\n", "excludes.txt")
        .pattern(b"/src/*.o", RuleOrigin::CommandLine { index: 0 })
        .build()
        .unwrap();
    check_explanation(&rules, b"a", false, "a: included\n  no rule matches");
    check_explanation(&rules, b"a.o", false, "a.o: excluded\n  excludes: '*.o' (excludes.txt:1)");
    check_explanation(
        &rules,
        b"src/keep.o",
        false,
        "src/keep.o: excluded\n  excludes: '*.o' (excludes.txt:1)\n  brings back: '!keep.o' (excludes.txt:2)\n  \
         excludes: --exclude '/src/*.o'; the last rule decides",
    );
    check_explanation(
        &rules,
        b"lib/keep.o",
        false,
        "lib/keep.o: included\n  excludes: '*.o' (excludes.txt:1)\n  \
         brings back: '!keep.o' (excludes.txt:2); the last rule decides",
    );
    check_explanation(
        &rules,
        b"logs/2024/keep.o",
        false,
        "logs/2024/keep.o: excluded\n  the directory logs is excluded:\n  excludes: '/logs/' (excludes.txt:3)\n  \
         without effect: '!keep.o' (excludes.txt:2); what is below an excluded directory is not looked at\n  \
         hint: '/logs/*' instead of '/logs/' leaves room for '!'",
    );
    check_explanation(
        &rules,
        b"web/node_modules/x/y",
        true,
        "web/node_modules/x/y: excluded\n  the directory web/node_modules is excluded:\n  \
         excludes: 'node_modules/' (preset developer:10)",
    );
    let inner = rules.with_directory_file(b"lib", b"*.o\n").unwrap();
    check_explanation(
        &inner,
        b"lib/keep.o",
        false,
        "lib/keep.o: excluded\n  excludes: '*.o' (excludes.txt:1)\n  brings back: '!keep.o' (excludes.txt:2)\n  \
         excludes: '*.o' (lib/.hardbackignore:1); the last rule decides",
    );
}

#[test]
fn cache_directory_tags() {
    assert_eq!(CACHEDIR_TAG_SIGNATURE.len(), 43);
    assert!(is_cachedir_tag(b"Signature: 8a477f597d28d172789f06886806bc55\n# made by cargo\n"));
    assert!(is_cachedir_tag(CACHEDIR_TAG_SIGNATURE));
    assert!(!is_cachedir_tag(&CACHEDIR_TAG_SIGNATURE[..42]));
    assert!(!is_cachedir_tag(b""));
    assert!(!is_cachedir_tag(b" Signature: 8a477f597d28d172789f06886806bc55"));
}

#[test]
fn marker_names() {
    let mut markers = DirectoryMarkers { if_present: vec![b".nobackup".to_vec()], ..DirectoryMarkers::default() };
    assert_eq!(markers.candidates(b".nobackup"), Some(MarkerKind::Present));
    assert_eq!(markers.candidates(b".NoBackup"), None);
    assert_eq!(markers.candidates(b"CACHEDIR.TAG"), None);
    markers.caches = true;
    assert_eq!(markers.candidates(b"CACHEDIR.TAG"), Some(MarkerKind::CacheTag));
    assert_eq!(markers.candidates(b"cachedir.tag"), None);
    markers.case_insensitive = true;
    assert_eq!(markers.candidates(b".NoBackup"), Some(MarkerKind::Present));
    assert_eq!(markers.candidates(b"cachedir.tag"), Some(MarkerKind::CacheTag));
    markers.if_present.push(b"\xff".to_vec());
    assert_eq!(markers.candidates(b"\xfe"), None);
    assert!(!markers.is_empty() && DirectoryMarkers::default().is_empty());
}

#[test]
fn every_line_of_a_preset_parses_and_has_a_reason() {
    for preset in presets() {
        let built = ExcludeBuilder::new().preset(preset.name).build();
        assert!(built.is_ok_and(|rules| !rules.is_empty()), "{}", preset.name);
        let mut reason = false;
        for line in preset.text.lines() {
            assert!(line.len() <= 80 && line == line.trim_end(), "{}: {line:?}", preset.name);
            match line.as_bytes() {
                [] => reason = false,
                [b'#', ..] => reason = true,
                _ => assert!(reason, "{}: {line} has no comment above it", preset.name),
            }
        }
    }
}

fn check_preset(name: &str, out: &[&str], inside: &[&str]) {
    let rules = ExcludeBuilder::new().preset(name).build().unwrap();
    for (paths, expected) in [(out, true), (inside, false)] {
        for path in paths {
            let explanation = rules.explain(path.trim_end_matches('/').as_bytes(), path.ends_with('/'));
            assert_eq!(explanation.verdict.is_excluded(), expected, "{name}: {explanation}");
        }
    }
}

#[test]
fn preset_linux_home() {
    check_preset(
        "linux-home",
        &[
            ".cache/mozilla/",
            "anna/.cache/x",
            "home/anna/.cache/x",
            ".local/share/Trash/files/a.txt",
            "home/anna/.local/share/Trash/info/a.trashinfo",
            ".Trash-1000/",
            ".thumbnails/normal/a.png",
            ".config/Signal/Cache/Cache_Data/f_000001",
            ".config/chromium/Default/GPUCache/",
            ".var/app/org.gimp.GIMP/cache/x",
            ".xsession-errors",
            ".gvfs/",
            ".local/share/containers/storage/overlay/0a1b/merged/etc/",
        ],
        &[
            ".cache/",
            ".local/share/Trash/",
            ".config/chromium/Default/Bookmarks",
            ".config/Signal/sql/db.sqlite",
            ".config/chromium/Default/Service Worker/Database/x",
            ".local/share/Steam/steamapps/common/game/save.dat",
            ".local/share/containers/storage/volumes/db/_data/table",
            ".local/share/containers/storage/overlay/0a1b/diff/etc/",
            ".mozilla/firefox/abc.default/places.sqlite",
            "Documents/cache/report.odt",
            "Trash/x",
            ".ssh/id_ed25519",
        ],
    );
}

#[test]
fn preset_linux_system() {
    check_preset(
        "linux-system",
        &[
            "proc/1/",
            "sys/kernel/",
            "dev/sda",
            "run/user/",
            "tmp/x",
            "var/tmp/x",
            "mnt/disk/",
            "media/anna/usb/",
            "swapfile",
            "var/cache/apt/archives/vim_9.deb",
            "var/lib/docker/overlay2/0a/merged/bin/",
            "snap/core/123/",
        ],
        &[
            "proc/",
            "sys/",
            "dev/",
            "run/",
            "tmp/",
            "mnt/",
            "media/",
            "lost+found/",
            "home/anna/tmp/x",
            "home/anna/proc/x",
            "var/lib/docker/volumes/db/_data/x",
            "var/lib/docker/overlay2/0a/diff/x",
            "etc/fstab",
            "srv/swapfile",
            "var/cache/apt/archives/",
            "snap/bin/vlc",
            "home/anna/snap/firefox/common/x",
            "var/lib/postgresql/16/main/base/1",
        ],
    );
}

#[test]
fn preset_developer() {
    check_preset(
        "developer",
        &[
            "src/web/node_modules/",
            "web/node_modules/react/index.js",
            "a/__pycache__/m.pyc",
            ".venv/bin/",
            "x/.mypy_cache/",
            ".cargo/registry/src/x/",
            "home/anna/go/pkg/mod/github.com/x/",
            ".gradle/caches/x/",
            "hardback/target/debug/deps/x",
            "i/.terraform/providers/x",
        ],
        &[
            "usr/lib/node_modules/npm/",
            "opt/app/resources/node_modules/x/",
            "target/",
            "target/report.pdf",
            "build/x",
            "dist/x.tar",
            "a/m.pyc",
            "venv/",
            "node_modules",
            ".m2/repository/x",
            ".cargo/config.toml",
            ".cargo/bin/rg",
            "vendor/lib.c",
            ".terraform/terraform.tfstate",
            ".gradle/gradle.properties",
            "lib/a.o",
        ],
    );
}

#[test]
fn preset_windows_user() {
    check_preset(
        "windows-user",
        &[
            "AppData/Local/Temp/x.tmp",
            "anna/appdata/local/temp/x",
            "Users/anna/AppData/Local/Temp/x",
            "AppData/Local/Google/Chrome/User Data/Default/Cache/Cache_Data/f_1",
            "Pictures/thumbs.db",
            "AppData/Local/Microsoft/Windows/Explorer/ThumbCache_96.db",
            "AppData/Roaming/Code/GPUCache/",
            "AppData/Local/Mozilla/Firefox/Profiles/a.default/cache2/entries/",
        ],
        &[
            "AppData/Local/Temp/",
            "AppData/Roaming/Mozilla/Firefox/Profiles/a.default/places.sqlite",
            "NTUSER.DAT",
            "AppData/Local/Microsoft/Outlook/anna.ost",
            "AppData/Local/Google/Chrome/User Data/Default/Bookmarks",
            "Documents/Temp/x",
            "AppData/Local/Packages/x/LocalState/plum.sqlite",
            "Desktop/desktop.ini",
        ],
    );
}

#[test]
fn a_preset_is_found_by_the_name_that_it_had() {
    let names = ["windows-home", "windows-user"].map(|name| preset(name).unwrap().name);
    assert_eq!(names, ["windows-user"; 2]);
    let rules = |name| ExcludeBuilder::new().preset(name).build().unwrap();
    assert_eq!(rules("windows-home").written(), rules("windows-user").written());
    // It is offered by one name only.
    assert_eq!(presets().iter().filter(|preset| preset.name.starts_with("windows-")).count(), 2);
}

#[test]
fn preset_windows_system() {
    check_preset(
        "windows-system",
        &[
            "pagefile.sys",
            "PAGEFILE.SYS",
            "hiberfil.sys",
            "swapfile.sys",
            "System Volume Information/",
            "$RECYCLE.BIN/S-1-5-21/",
            "Windows/Temp/x",
            "WINDOWS/winsxs/amd64_x/",
            "Windows/Installer/1a2b.msi",
            "windows/memory.dmp",
            "Windows/SoftwareDistribution/Download/",
        ],
        &[
            "Windows/",
            "Windows/Temp/",
            "Windows/WinSxS/",
            "Windows/System32/config/SYSTEM",
            "Windows/CSC/v2.0.6/",
            "Users/anna/pagefile.sys",
            "Users/anna/$Recycle.Bin/",
            "Temp/x",
            "Program Files/x/Installer/setup.msi",
            "Windows/System32/drivers/etc/hosts",
            "ProgramData/x",
            "Windows.old/Users/",
        ],
    );
}
