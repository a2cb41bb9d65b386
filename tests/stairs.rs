//! A step depends only on steps with a lower number. Its package, directory, program,
//! test and chapter are named after it.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_root: PathBuf,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
    targets: Vec<Target>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
    path: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
    kind: Vec<String>,
    src_path: PathBuf,
}

/// The library that the tests of all steps share.
const TEST_KIT: &str = "kiste-tests";
/// The library of the course's own programs, in `tests/course`.
const COURSE: &str = "kiste-course";
/// The benchmark, in `tests/bench`.
const BENCH: &str = "kiste-bench";
/// The preprocessor of the book.
const BOOK: &str = "kiste-book";
/// The learner's command, in `tests/workshop`.
const WORKSHOP: &str = "kiste-workshop";
/// The package that prints the last line of the tests, in `tests/summary`.
const SUMMARY: &str = "test-summary";
/// The library that all steps share, which has no chapter.
const KIT: &str = "00-kit";

#[test]
fn every_step_depends_on_lower_steps_only_and_is_named_like_its_chapter() {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let metadata = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("run cargo metadata");
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Metadata = serde_json::from_slice(&metadata.stdout).unwrap();

    assert!(metadata.packages.len() > 6, "all steps are in the workspace");
    let wrong = problems(&metadata, &|path| path.exists());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn problems(metadata: &Metadata, exists: &dyn Fn(&Path) -> bool) -> Vec<String> {
    let mut wrong = Vec::new();
    for package in &metadata.packages {
        if [TEST_KIT, COURSE, BENCH, BOOK, SUMMARY, WORKSHOP]
            .contains(&package.name.as_str())
        {
            wrong.extend(dependencies_of_tests(package));
            continue;
        }
        match package
            .name
            .strip_prefix("step-")
            .filter(|step| number_of(step).is_some())
        {
            None => wrong
                .push(format!("{}: a package is called step-NN-name", package.name)),
            Some(step) => {
                wrong.extend(upward_dependencies(step, package));
                wrong.extend(wrong_names(
                    step,
                    package,
                    &metadata.workspace_root,
                    exists,
                ));
            }
        }
    }
    wrong
}

/// Returns the number of a step, or -1 for the kit, which is below all others.
fn number_of(step: &str) -> Option<i32> {
    let (number, name) = step.split_once('-')?;
    let is_name = !name.is_empty()
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let number = (number.len() == 2 && is_name).then(|| number.parse().ok())??;
    Some(if step == KIT { -1 } else { number })
}

/// Finds dependencies of a test package on a step: tests run the programs from outside.
/// The book draws the same pictures as the kit, and so may use it.
fn dependencies_of_tests(package: &Package) -> Vec<String> {
    let is_allowed = |name: &str| package.name == BOOK && name == format!("step-{KIT}");
    let steps = package
        .dependencies
        .iter()
        .filter(|it| it.name.starts_with("step-") && !is_allowed(&it.name));
    steps
        .map(|step| {
            format!(
                "{} depends on {}, but tests run the programs from outside",
                package.name, step.name
            )
        })
        .collect()
}

fn upward_dependencies(step: &str, package: &Package) -> Vec<String> {
    let in_workspace =
        package.dependencies.iter().filter(|dependency| dependency.path.is_some());
    let leads_up =
        |dependency: &&Dependency| match dependency.name.strip_prefix("step-") {
            Some(other) => number_of(other) >= number_of(step),
            None => {
                dependency.name != TEST_KIT || dependency.kind.as_deref() != Some("dev")
            }
        };
    in_workspace
        .filter(leads_up)
        .map(|it| format!("{step} depends on {}: stairs go up", it.name))
        .collect()
}

fn wrong_names(
    step: &str,
    package: &Package,
    workspace_root: &Path,
    exists: &dyn Fn(&Path) -> bool,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut expect = |is_right: bool, what: String| {
        if !is_right {
            wrong.push(format!("{step}: {what}"));
        }
    };
    let has = |kind: &str, name: &str, path: PathBuf| {
        let is_wanted = |target: &&Target| {
            target.kind.iter().any(|it| it == kind) && target.name == name
        };
        package
            .targets
            .iter()
            .find(is_wanted)
            .is_some_and(|target| without_dot_dot(&target.src_path) == path)
    };
    let dir = workspace_root.join("steps").join(step);
    expect(
        package.manifest_path == dir.join("Cargo.toml"),
        format!("its directory is {}", dir.display()),
    );

    let library = step[3..].replace('-', "_");
    expect(
        has("lib", &library, dir.join("src/lib.rs")),
        format!("its library is called {library}"),
    );
    let readme = dir.join("README.md");
    expect(exists(&readme), format!("its README is {}", readme.display()));
    if step == KIT {
        return wrong;
    }
    expect(
        has("bin", step, dir.join("src/main.rs")),
        format!("its program is called {step}"),
    );
    let test = step.replace('-', "_");
    let test_file = workspace_root.join("tests").join(format!("{test}.rs"));
    expect(
        has("test", &test, test_file),
        format!("its test {test} is tests/{test}.rs"),
    );
    let chapter = workspace_root.join("book/src").join(format!("{step}.md"));
    expect(exists(&chapter), format!("its chapter is {}", chapter.display()));
    wrong
}

/// Removes `..`: `/w/steps/05-x/../../tests/05_x.rs` is `/w/tests/05_x.rs`.
fn without_dot_dot(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut normal, part| {
        match part.as_os_str() == ".." {
            true => drop(normal.pop()),
            false => normal.push(part),
        }
        normal
    })
}

#[test]
fn the_summary_of_the_book_has_the_chapters_in_the_order_of_the_steps() {
    let summary = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("book/src/SUMMARY.md");
    let text = std::fs::read_to_string(summary).unwrap();
    let pages = text.split(['(', ')']).filter_map(|part| part.strip_suffix(".md"));
    let chapters: Vec<_> = pages.filter(|page| number_of(page).is_some()).collect();
    let mut sorted = chapters.clone();
    sorted.sort();
    assert!(!chapters.is_empty() && chapters == sorted, "{chapters:?}");
}

/// Returns the metadata of a workspace that has one step, 05-top, with this dependency
/// and this test.
fn workspace_with(dependency: &str, test: &str) -> Metadata {
    let text = format!(
        r#"{{"workspace_root": "/w", "packages": [{{
            "name": "step-05-top", "manifest_path": "/w/steps/05-top/Cargo.toml",
            "dependencies": [{{"name": "anyhow", "kind": null}}, {dependency}],
            "targets": [
                {{"name": "top", "kind": ["lib"], "src_path": "/w/steps/05-top/src/lib.rs"}},
                {{"name": "05-top", "kind": ["bin"], "src_path": "/w/steps/05-top/src/main.rs"}},
                {{"name": "05_top", "kind": ["test"], "src_path": "{test}"}}
            ]}}]}}"#
    );
    serde_json::from_str(&text).unwrap()
}

const GOOD_DEPENDENCY: &str =
    r#"{"name": "step-04-below", "kind": null, "path": "/w/steps/04-below"}"#;
const GOOD_TEST: &str = "/w/steps/05-top/../../tests/05_top.rs";

#[test]
fn a_step_may_depend_on_a_lower_step() {
    assert_eq!(
        problems(&workspace_with(GOOD_DEPENDENCY, GOOD_TEST), &|_| true),
        [""; 0]
    );
}

#[test]
fn a_step_must_not_depend_on_a_step_of_a_higher_or_the_same_number_or_on_the_tests() {
    for (name, kind) in [
        ("step-06-above", "null"),
        ("step-05-beside", "null"),
        ("step-06-above", "\"dev\""),
        ("kiste-tests", "null"),
        ("elsewhere", "null"),
    ] {
        let dependency =
            format!(r#"{{"name": "{name}", "kind": {kind}, "path": "/w/x"}}"#);
        let wrong = problems(&workspace_with(&dependency, GOOD_TEST), &|_| true);
        assert_eq!(wrong, [format!("05-top depends on {name}: stairs go up")]);
    }
}

#[test]
fn a_test_in_another_directory_and_a_missing_readme_or_chapter_are_wrong() {
    let wrong = problems(
        &workspace_with(GOOD_DEPENDENCY, "/w/steps/05-top/tests/05_top.rs"),
        &|_| true,
    );
    assert_eq!(wrong, ["05-top: its test 05_top is tests/05_top.rs"]);
    let wrong = problems(&workspace_with(GOOD_DEPENDENCY, GOOD_TEST), &|_| false);
    let missing =
        ["README is /w/steps/05-top/README.md", "chapter is /w/book/src/05-top.md"];
    assert_eq!(wrong, missing.map(|what| format!("05-top: its {what}")));
}

#[test]
fn a_package_without_a_number_and_a_test_library_that_depends_on_a_step_are_wrong() {
    let mut metadata = workspace_with(GOOD_DEPENDENCY, GOOD_TEST);
    metadata.packages[0].name = "step-top".into();
    assert_eq!(
        problems(&metadata, &|_| true),
        ["step-top: a package is called step-NN-name"]
    );
    metadata.packages[0].name = TEST_KIT.into();
    assert_eq!(problems(&metadata, &|_| true).len(), 1);
}
