//! `waag explain`: the page of an error code, which is embedded in the program.

use serde::Serialize;

use super::failure::{CliError, Exit, Failure};
use super::output::Output;

const HELP: &str = "\
Example:
  waag explain E0204
  waag explain";

/// Every page by its code, sorted; made by the build from `docs/errors`.
static PAGES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/error_pages.rs"));

#[derive(Debug, clap::Args)]
#[command(after_help = HELP)]
pub(crate) struct Args {
    /// The code, such as E0204; all codes with their titles where not given
    code: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    code: &'a str,
    title: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
}

pub(crate) fn run(args: &Args, output: &mut Output) -> Result<Exit, Failure> {
    let Some(code) = &args.code else {
        for (code, page) in PAGES {
            let answer = Answer { code, title: title(page), text: None };
            output.answer(&answer, || format!("{code}  {}\n", answer.title))?;
        }
        return Ok(Exit::Done);
    };
    let code = code.to_uppercase();
    let found = PAGES.iter().find(|(known, _)| *known == code);
    let (code, page) = found.ok_or(CliError::NoSuchCode(code))?;
    output.answer(&Answer { code, title: title(page), text: Some(page) }, || (*page).to_owned())?;
    Ok(Exit::Done)
}

/// A code as this program has it, where one of its pages has it.
pub(super) fn known(code: &str) -> Option<&'static str> {
    PAGES.iter().find(|(known, _)| *known == code).map(|(known, _)| *known)
}

/// What stands behind the code in a page's first line.
fn title(page: &str) -> &str {
    let first = page.lines().next().unwrap_or_default();
    first.split_once(": ").map_or(first, |(_, title)| title)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_pages_are_sorted_and_each_begins_with_its_code() {
        for ((code, page), (next, _)) in PAGES.iter().zip(PAGES.iter().skip(1)) {
            assert!(code < next);
            assert!(page.starts_with(&format!("# {code}: ")), "{code}");
        }
        assert_eq!(title("# E0204: the secret does not match\n"), "the secret does not match");
    }
}
