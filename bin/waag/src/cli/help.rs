//! Help texts flow: a paragraph is one line for clap, which breaks it at the terminal's width, and not where the source did.
//!
//! Place: between the commands' `after_help` and the parser. A text's lines belong together where none of them is empty or
//! indented; what is indented (examples, lists) stands as it is, and is short enough never to be broken.
//! Not here: what the texts say, which stands beside each command.

use clap::{Arg, Command};

use super::setting::PLACE_OPTIONS;

/// A command with its help text, and those of all commands below it, in paragraphs.
pub(super) fn flowing(command: Command) -> Command {
    let text = command.get_after_help().map(|text| paragraphs(&text.to_string()));
    let command = match text {
        Some(text) => command.after_help(text),
        None => command,
    };
    command.mut_subcommands(flowing)
}

/// A built command line in which `name` does not list the options that it refuses.
pub(super) fn without_place(command: Command, name: &str) -> Command {
    without(command, name, &PLACE_OPTIONS)
}

/// The help of a command without options that it refuses.
pub(super) fn without(command: Command, name: &str, refused: &[&str]) -> Command {
    let hidden = |option: Arg| {
        let is_refused = refused.contains(&option.get_id().as_str());
        if is_refused { option.hide(true) } else { option }
    };
    command.mut_subcommand(name, |of| of.mut_args(hidden))
}

/// The text without the line ends within its paragraphs.
fn paragraphs(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut is_open = false;
    for line in text.lines() {
        let is_text = !line.is_empty() && !line.starts_with(' ');
        if !out.is_empty() {
            out.push(if is_open && is_text { ' ' } else { '\n' });
        }
        out.push_str(line);
        is_open = is_text;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{command, parse};

    /// The width at which help is looked at.
    const WIDTH: usize = 100;

    #[test]
    fn only_lines_of_one_paragraph_are_put_together() {
        let text = "One\ntwo.\n\nThree:\n  - a\n  - b\nFour\nfive.\n\nExample:\n  waag";
        let flows = "One two.\n\nThree:\n  - a\n  - b\nFour five.\n\nExample:\n  waag";
        assert_eq!(paragraphs(text), flows);
    }

    #[test]
    fn no_help_is_broken_before_its_line_is_full() {
        let mut all = command();
        all.build();
        let mut paths = Vec::new();
        collect(&all, &mut vec!["waag".to_owned()], &mut paths);
        listed_lines_fit(&all);
        assert!(paths.len() > 80, "every command was looked at");
        for path in paths {
            let asked = path.iter().map(String::as_str).chain(["--help"]);
            let help = parse(command().term_width(WIDTH), asked).unwrap_err().to_string();
            assert!(help.contains("Usage: waag"), "{path:?}: {help}");
            let lines: Vec<&str> = help.lines().collect();
            for (line, next) in lines.iter().zip(lines.iter().skip(1)) {
                // Usage is never broken.
                assert!(line.len() <= WIDTH || line.starts_with("Usage:"), "{path:?}: too long: {line}");
                assert!(!is_ragged(line, next), "{path:?}: {line}\n{next}");
            }
        }
    }

    #[test]
    fn what_a_command_refuses_is_not_listed_and_still_known() {
        let asked = |arguments: &[&str]| parse(command(), arguments);
        for name in ["demo", "tour"] {
            let help = asked(&["waag", name, "--help"]).unwrap_err().to_string();
            assert!(help.contains("--folder") && help.contains("--as <NAME>"), "{help}");
            for option in PLACE_OPTIONS {
                assert!(!help.contains(&format!("--{option}")), "{name} lists --{option}: {help}");
            }
            // Refused by the command itself, which says what to use instead.
            assert!(asked(&["waag", name, "--data", "x"]).is_ok());
        }
        let help = asked(&["waag", "read", "--help"]).unwrap_err().to_string();
        let (own, shared) = help.split_once("Which store, who asks").unwrap();
        assert!(shared.contains("--data <DIR>") && !own.contains("--data <DIR>"), "{help}");
    }

    /// Examples and lists stand as they are written: a command that is broken in two cannot be pasted.
    fn listed_lines_fit(command: &Command) {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        for line in text.lines().filter(|line| line.starts_with(' ')) {
            assert!(line.len() <= WIDTH, "`{}`: {line}", command.get_name());
        }
        command.get_subcommands().for_each(listed_lines_fit);
    }

    /// Whether the next line's first word had room on the line: both in one paragraph, or both in an option's column.
    fn is_ragged(line: &str, next: &str) -> bool {
        let column = |line: &str| line.len() - line.trim_start().len();
        let at = column(next);
        let is_text = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('-');
        let goes_on = column(line) == at && (at == 0 || at > 8) && is_text(line) && is_text(next);
        let word = next.split_whitespace().next().unwrap_or_default();
        // A line that ends with a colon is followed by what it announces.
        goes_on && !line.ends_with(':') && line.len() + 1 + word.len() <= WIDTH
    }

    fn collect(command: &Command, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
        found.push(path.clone());
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            path.push(sub.get_name().to_owned());
            collect(sub, path, found);
            path.pop();
        }
    }
}
