//! A query's parameters, read strictly, so that nothing in them is ignored.
//!
//! Not here: which parameters a path knows (`deliveries::asked`, `reports::asked`), percent-encoding (`percent`).
//!
//! - `ASK-2`: a parameter has one value, of its form; one that is not known is refused.

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::fault::{Fault, Kind};
use crate::percent;

/// Most characters of an unknown parameter's name that are told.
const NAME_CHARS_MAX: usize = 64;

/// Parameters of a query that are known, each once (`ASK-2`).
pub(crate) struct Parameters(BTreeMap<&'static str, String>);

impl Parameters {
    pub(crate) fn of(query: &str, known: &[&'static str]) -> Result<Self, Fault> {
        let mut found = BTreeMap::new();
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if pair.is_empty() {
                continue;
            }
            let told = percent::of_query(name).unwrap_or_else(|| name.to_owned());
            let Some(name) = known.iter().copied().find(|known| *known == told) else {
                // A misspelled one would be taken for its default: `wait=20000` would poll without a pause.
                return Err(Fault::of(Kind::NoQuery(told.chars().take(NAME_CHARS_MAX).collect())));
            };
            let value = percent::of_query(value).ok_or_else(|| Fault::of(Kind::Query(name)))?;
            if found.insert(name, value).is_some() {
                return Err(Fault::of(Kind::Query(name)));
            }
        }
        Ok(Self(found))
    }

    pub(crate) fn text(&mut self, name: &'static str) -> Option<String> {
        self.0.remove(name)
    }

    /// A number in the one form that it has in decimal digits.
    pub(crate) fn number<T: FromStr + ToString>(&mut self, name: &'static str) -> Result<Option<T>, Fault> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let number = text.parse::<T>().ok().filter(|number| number.to_string() == text);
        number.map(Some).ok_or_else(|| Fault::of(Kind::Query(name)))
    }

    /// A number within bounds, or what stands for it where it is not there.
    pub(crate) fn within(
        &mut self,
        name: &'static str,
        (least, most): (u64, u64),
        default: u64,
    ) -> Result<u64, Fault> {
        let number = self.number::<u64>(name)?.unwrap_or(default);
        let is_fine = (least..=most).contains(&number);
        is_fine.then_some(number).ok_or_else(|| Fault::of(Kind::Query(name)))
    }

    /// What a text is read as; none where it is not there.
    pub(crate) fn read<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Fault> {
        let Some(text) = self.text(name) else { return Ok(None) };
        read(&text).map(Some).ok_or_else(|| Fault::of(Kind::Query(name)))
    }
}
