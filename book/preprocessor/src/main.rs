//! Reads the book from mdBook, changes its pages, and hands it back: the
//! [protocol](https://rust-lang.github.io/mdBook/for_developers/preprocessors.html) is
//! JSON on stdin and stdout.

use std::error::Error;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::ExitCode;

use serde_json::Value;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["supports", "html"] => ExitCode::SUCCESS,
        ["supports", _] => ExitCode::FAILURE,
        [] => match rewrite() {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("kiste-book: {error}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprintln!("kiste-book: mdBook runs this program, see book/book.toml");
            ExitCode::from(2)
        }
    }
}

/// Reads `[context, book]` and writes the book.
fn rewrite() -> Result<(), Box<dyn Error>> {
    let (context, mut book): (Value, Value) = serde_json::from_reader(io::stdin())?;
    let root = context["root"].as_str().ok_or("the context has no root")?;
    let workspace = Path::new(root).parent().ok_or("the book lies in a workspace")?;
    let items = book["items"].as_array_mut().ok_or("the book has no items")?;
    rewrite_items(workspace, items)?;
    let mut out = BufWriter::new(io::stdout().lock());
    serde_json::to_writer(&mut out, &book)?;
    Ok(out.flush()?)
}

/// Rewrites the chapters among the items of the book, and their `sub_items`. Other
/// items are separators and titles of parts.
fn rewrite_items(workspace: &Path, items: &mut [Value]) -> Result<(), Box<dyn Error>> {
    for chapter in items.iter_mut().filter_map(|item| item.get_mut("Chapter")) {
        let content = chapter["content"].as_str().ok_or("a chapter has no content")?;
        chapter["content"] = kiste_book::page_of(workspace, content)?.into();
        if let Some(items) = chapter["sub_items"].as_array_mut() {
            rewrite_items(workspace, items)?;
        }
    }
    Ok(())
}
