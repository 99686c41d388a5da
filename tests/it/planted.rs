//! The planted defects apply to the present sources.

use std::path::Path;

/// The text that each hunk of a patch expects, and its file.
fn places(patch: &str) -> Vec<(&str, String)> {
    let (mut file, mut places) = ("", Vec::<(&str, String)>::new());
    for line in patch.lines() {
        if let Some(path) = line.strip_prefix("--- a/") {
            file = path;
        } else if line.starts_with("@@ ") {
            places.push((file, String::new()));
        } else if let Some((_, text)) = places.last_mut()
            && let Some(old) = line.strip_prefix([' ', '-'])
        {
            *text += old;
            text.push('\n');
        }
    }
    places
}

#[test]
fn every_defect_has_its_place_in_the_sources() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut defects = 0;
    for entry in std::fs::read_dir(root.join("tests/sim/planted")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "patch") {
            continue;
        }
        defects += 1;
        let patch = std::fs::read_to_string(&path).unwrap();
        let places = places(&patch);
        assert!(!places.is_empty(), "{} plants nothing", path.display());
        for (file, text) in places {
            let source = std::fs::read_to_string(root.join(file)).unwrap();
            let found = source.matches(&text).count();
            assert_eq!(found, 1, "{}: places in {file} for\n{text}", path.display());
        }
    }
    assert!(defects >= 10, "there are {defects}");
}
