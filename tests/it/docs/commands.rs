//! Every command in the pages exists, and every existing command is documented.

use std::collections::BTreeSet;

use clap::{CommandFactory, Parser};
use equipoise::cli::Cli;

use super::{blocks, pages, quoted};

/// Every command line in the pages that begins with `equipoise`, with its page.
fn commands() -> Vec<(String, String)> {
    let mut commands = Vec::new();
    for (name, text) in pages() {
        let blocks = blocks(&text, "sh");
        let lines = blocks.iter().flat_map(|block| block.lines());
        let lines = lines.map(|line| line.split(" #").next().unwrap());
        // Outside of blocks, inline code with spaces.
        let prose = text.split("\n```").step_by(2).collect::<String>();
        let inline: Vec<_> = quoted(&prose).map(|word| word.replace('\n', " ")).collect();
        let inline = inline.iter().map(String::as_str);
        let all = lines.chain(inline).map(str::trim).filter(|line| line.starts_with("equipoise "));
        commands.extend(all.map(|line| (name.clone(), line.to_owned())));
    }
    commands
}

/// The path of subcommands that `words` invoke.
fn path(words: &[&str]) -> Vec<String> {
    let mut command = Cli::command();
    let mut path = Vec::new();
    for word in &words[1..] {
        if let Some(inner) = command.find_subcommand(word) {
            path.push((*word).to_owned());
            command = inner.clone();
        }
    }
    path
}

#[test]
fn those_in_the_pages_exist() {
    for (name, line) in commands() {
        let line = line.replace('\'', "");
        // Without its required arguments, the text mentions the command itself.
        let words: Vec<_> = line.split_whitespace().collect();
        let Err(error) = Cli::try_parse_from(&words) else { continue };
        let only_spoken_of = words[1..].len() == path(&words).len();
        assert!(only_spoken_of, "{name}: `{line}`: {error}");
    }
}

#[test]
fn those_that_exist_are_in_the_pages() {
    let told: BTreeSet<_> = commands()
        .iter()
        .map(|(_, line)| path(&line.split_whitespace().collect::<Vec<_>>()).join(" "))
        .collect();
    let cli = Cli::command();
    for command in cli.get_subcommands() {
        let name = command.get_name();
        if !command.has_subcommands() {
            assert!(told.contains(name), "no page has `equipoise {name}`");
        }
        for inner in command.get_subcommands() {
            let name = format!("{name} {}", inner.get_name());
            assert!(told.contains(&name), "no page has `equipoise {name}`");
        }
    }
}
