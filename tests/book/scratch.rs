//! Makes small books for the tests of the checks: each check must fail on a wrong book.

use std::fs;

use tempfile::TempDir;

use super::pages::Book;

/// Makes a workspace with these files. It is removed when the first value is dropped.
pub fn workspace(files: &[(&str, &str)]) -> (TempDir, Book) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    fs::create_dir_all(dir.path().join("book/src")).expect("book/src");
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().expect("files have a parent"))
            .expect("directories");
        fs::write(path, text).expect("write a file");
    }
    let book = Book::open(dir.path()).expect("read the book");
    (dir, book)
}

/// Asserts that `check` finds exactly one problem in these files, with `words` in its
/// message.
pub fn refuses(
    check: impl Fn(&Book) -> Vec<String>,
    files: &[(&str, &str)],
    words: &str,
) {
    let (_dir, book) = workspace(files);
    let problems = check(&book);
    assert_eq!(problems.len(), 1, "one problem is expected: {problems:#?}");
    assert!(problems[0].contains(words), "`{words}` is not in: {}", problems[0]);
}

/// Asserts that `check` finds nothing wrong in these files.
pub fn accepts(check: impl Fn(&Book) -> Vec<String>, files: &[(&str, &str)]) {
    let (_dir, book) = workspace(files);
    assert_eq!(check(&book), Vec::<String>::new());
}
