//! The manifests for winget and scoop: templates in `packaging`, filled in with what a release is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::archive;

/// The templates, and what they are called when they are filled in; `{{version}}` stands in these names as well.
const TEMPLATES: &[(&str, &str)] = &[
    ("winget/version.yaml", "winget/Hardback.Hardback.yaml"),
    ("winget/installer.yaml", "winget/Hardback.Hardback.installer.yaml"),
    ("winget/locale.en-US.yaml", "winget/Hardback.Hardback.locale.en-US.yaml"),
    ("scoop/hardback.json", "scoop/hardback.json"),
];

/// What is filled in.
pub(super) struct Release<'a> {
    pub(super) version: &'a str,
    /// The project's page; its releases lie at `releases/download/vVERSION`, as the usual forges have it.
    pub(super) home: &'a str,
    pub(super) zip: &'a str,
    pub(super) sha256: &'a str,
    pub(super) date: &'a str,
}

/// Fills in every template of `templates` and writes it below `folder`.
pub(super) fn write(release: &Release<'_>, templates: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let mut written = Vec::new();
    for (template, name) in TEMPLATES {
        let from = templates.join(template);
        let text = fs::read_to_string(&from).with_context(|| format!("cannot read {}", from.display()))?;
        let to = folder.join(name);
        fs::create_dir_all(to.parent().unwrap_or(folder))?;
        fs::write(&to, fill(&text, release).with_context(|| format!("cannot fill in {template}"))?)?;
        written.push(to);
    }
    Ok(written)
}

/// `template` with every `{{name}}` filled in; a name that nobody knows is an error.
fn fill(template: &str, release: &Release<'_>) -> Result<String> {
    let base = format!("{}/releases/download/v{}", release.home, release.version);
    let upper = release.sha256.to_uppercase();
    let folder = archive::root();
    let known = [
        ("{{version}}", release.version),
        ("{{home}}", release.home),
        ("{{base}}", &base),
        ("{{zip}}", release.zip),
        ("{{sha256}}", release.sha256),
        ("{{SHA256}}", &upper),
        ("{{folder}}", &folder),
        ("{{date}}", release.date),
    ];
    let text = known.iter().fold(template.to_owned(), |text, (name, value)| text.replace(name, value));
    ensure!(!text.contains("{{"), "a name in {{{{…}}}} is not known: {text}");
    Ok(text)
}

/// The sum of `name` in what `sha256sum` wrote.
pub(super) fn sum_of<'s>(sums: &'s str, name: &str) -> Option<&'s str> {
    sums.lines().find_map(|line| {
        let (sum, file) = line.split_once(char::is_whitespace)?;
        (file.trim_start_matches([' ', '*']) == name).then_some(sum)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::{command, output, workspace_root};
    use serde_json::Value;
    use yaml_rust2::{Yaml, YamlLoader};

    /// Fills in all templates for a zip of some bytes; gives back the folder and the zip's sum.
    fn filled(name: &str) -> (PathBuf, String) {
        let folder = workspace_root().join("target").join(name);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a.zip"), b"some bytes").unwrap();
        let sums = output(command("sha256sum").args(["a.zip"]).current_dir(&folder)).unwrap();
        let sha256 = sum_of(&sums, "a.zip").unwrap().to_owned();
        let release = Release {
            version: super::super::VERSION,
            home: "https://example.org/hardback",
            zip: "a.zip",
            sha256: &sha256,
            date: "2026-11-21",
        };
        write(&release, &workspace_root().join("packaging"), &folder).unwrap();
        (folder, sha256)
    }

    #[test]
    fn the_winget_manifests_parse_and_have_the_hash_of_the_zip() {
        let (folder, sha256) = filled("packaging-test-winget");
        let mut kinds = Vec::new();
        for (_, name) in TEMPLATES.iter().filter(|(_, name)| name.ends_with(".yaml")) {
            let text = fs::read_to_string(folder.join(name)).unwrap();
            let [manifest] = &YamlLoader::load_from_str(&text).unwrap()[..] else { panic!("{name}: not one document") };
            assert_eq!(manifest["PackageIdentifier"].as_str(), Some("Hardback.Hardback"), "{name}");
            assert_eq!(manifest["PackageVersion"].as_str(), Some(super::super::VERSION), "{name}");
            assert_eq!(manifest["ManifestVersion"].as_str(), Some("1.10.0"), "{name}");
            let kind = manifest["ManifestType"].as_str().unwrap().to_owned();
            let schema = format!("$schema=https://aka.ms/winget-manifest.{kind}.1.10.0.schema.json");
            assert!(text.lines().next().unwrap().ends_with(&schema), "{name}");
            if kind == "installer" {
                let installer: &Yaml = &manifest["Installers"][0];
                assert_eq!(installer["InstallerSha256"].as_str(), Some(sha256.to_uppercase().as_str()));
                let url = format!("https://example.org/hardback/releases/download/v{}/a.zip", super::super::VERSION);
                assert_eq!(installer["InstallerUrl"].as_str(), Some(url.as_str()));
                let program = format!(r"{}\hardback.exe", archive::root());
                assert_eq!(manifest["NestedInstallerFiles"][0]["RelativeFilePath"].as_str(), Some(program.as_str()));
            }
            kinds.push(kind);
        }
        assert_eq!(kinds, ["version", "installer", "defaultLocale"]);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn the_scoop_manifest_parses_and_finds_the_next_release_by_itself() {
        let (folder, sha256) = filled("packaging-test-scoop");
        let text = fs::read_to_string(folder.join("scoop/hardback.json")).unwrap();
        let manifest: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(manifest["architecture"]["64bit"]["hash"], sha256.as_str());
        assert_eq!(manifest["version"], super::super::VERSION);
        // The page of the releases has a link to each tag; GitHub's names the files only when somebody opens a release.
        assert_eq!(manifest["checkver"]["url"], "https://example.org/hardback/releases");
        assert_eq!(manifest["checkver"]["regex"], r"/releases/tag/v([\d.]+)");
        // The next release lies where this one does, but for the version.
        let now = manifest["architecture"]["64bit"]["url"].as_str().unwrap();
        let next = manifest["autoupdate"]["architecture"]["64bit"]["url"].as_str().unwrap();
        let next = next.replace("$version", super::super::VERSION);
        assert_eq!(next.rsplit_once('/').unwrap().0, now.rsplit_once('/').unwrap().0);
        assert!(next.ends_with(&format!("/{}-windows-x86_64.zip", archive::root())), "{next}");
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_name_that_nobody_knows_is_not_left_in_a_manifest() {
        let release = Release { version: "1", home: "h", zip: "z", sha256: "s", date: "d" };
        assert!(fill("a {{vresion}}", &release).is_err());
        assert_eq!(fill("{{home}} {{version}}", &release).unwrap(), "h 1");
    }
}
