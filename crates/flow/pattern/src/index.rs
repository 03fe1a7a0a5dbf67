//! Which rules a leaf may concern: for each path one index of every kind of alternative.
//!
//! A rule stands here with one of its fields only, the one expected to be rarest (`set`), so a leaf finds candidates and
//! never walks the rules. For each leaf: exact values are one lookup; prefixes, suffixes and networks one for each length in
//! use; wildcards one comparison for each whose beginning fits; numeric intervals one for each that begins below.

use std::collections::BTreeMap;

use crate::beginnings::Beginnings;
use crate::cidr::{Address, Cidr};
use crate::condition::{Condition, Test};
use crate::fold::fold_into;
use crate::glob::Glob;
use crate::leaf::{Leaf, Literal};
use crate::names::Names;
use crate::number::{Number, Range};

/// Numbers of clauses.
type Clauses = Vec<usize>;

/// The alternatives at one path that lead to clauses.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    texts: Names<Clauses>,
    numbers: BTreeMap<Number, Clauses>,
    literals: BTreeMap<Literal, Clauses>,
    folded: Names<Clauses>,
    prefixes: Beginnings<usize>,
    suffixes: Beginnings<usize>,
    folded_prefixes: Beginnings<usize>,
    folded_suffixes: Beginnings<usize>,
    /// By what stands before the first wildcard.
    wildcards: Beginnings<(Glob, usize)>,
    /// By the lower end.
    ranges: BTreeMap<Number, Vec<(Range, usize)>>,
    range_count: usize,
    networks: BTreeMap<Cidr, Clauses>,
    /// The shapes of networks in use, and how many have each.
    shapes: BTreeMap<(u8, u8), usize>,
    /// Led to by any leaf: `exists: true`, and `anything-but`, which is tried afterwards.
    any: Clauses,
    /// Clauses entered, each once for every alternative.
    entries: usize,
}

/// Buffers of [`Index::find`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers {
    folded: String,
    reversed: Vec<u8>,
}

impl Index {
    /// Enters a clause under every alternative of a condition, or takes it out.
    pub(crate) fn change(&mut self, condition: &Condition, clause: usize, add: bool) {
        let count = condition.len();
        self.entries = if add { self.entries + count } else { self.entries.saturating_sub(count) };
        for text in &condition.texts {
            put_name(&mut self.texts, text, clause, add);
        }
        for number in &condition.numbers {
            change_tree(&mut self.numbers, *number, clause, add);
        }
        for test in &condition.others {
            self.change_test(test, clause, add);
        }
    }

    /// Whether it leads nowhere.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    fn change_test(&mut self, test: &Test, clause: usize, add: bool) {
        match test {
            Test::Literal(literal) => change_tree(&mut self.literals, *literal, clause, add),
            Test::Exists | Test::AnythingBut(_) => change_list(&mut self.any, clause, add),
            Test::EqualsFolded(text) => put_name(&mut self.folded, text, clause, add),
            Test::Prefix(text) => put_beginning(&mut self.prefixes, forwards(text), clause, add),
            Test::Suffix(text) => put_beginning(&mut self.suffixes, backwards(text), clause, add),
            Test::PrefixFolded(text) => put_beginning(&mut self.folded_prefixes, forwards(text), clause, add),
            Test::SuffixFolded(text) => {
                put_beginning(&mut self.folded_suffixes, backwards(text), clause, add)
            }
            Test::Wildcard(glob) => {
                put_beginning(&mut self.wildcards, forwards(glob.start()), (glob.clone(), clause), add)
            }
            Test::Range(range) => {
                change_tree(&mut self.ranges, range.low.0, (range.clone(), clause), add);
                self.range_count =
                    if add { self.range_count + 1 } else { self.range_count.saturating_sub(1) };
            }
            Test::Cidr(cidr) => {
                change_tree(&mut self.networks, *cidr, clause, add);
                let uses = self.shapes.entry(cidr.shape()).or_default();
                *uses = if add { *uses + 1 } else { uses.saturating_sub(1) };
                if *uses == 0 {
                    self.shapes.remove(&cidr.shape());
                }
            }
        }
    }

    /// How many clauses an alternative of this kind would be tried beside; a measure of how little it tells apart.
    pub(crate) fn crowd(&self, test: &Test) -> usize {
        if let Test::Wildcard(glob) = test {
            return self.wildcards.count(glob.start().as_bytes());
        }
        if matches!(test, Test::Range(_)) { self.range_count } else { 0 }
    }

    /// Shows `hit` every clause that the leaf may concern; one may be shown more than once.
    #[inline]
    pub(crate) fn find(&self, leaf: &Leaf<'_>, buffers: &mut Buffers, mut hit: impl FnMut(usize)) {
        self.any.iter().copied().for_each(&mut hit);
        match leaf {
            Leaf::Text(text) => self.find_text(text, buffers, &mut hit),
            Leaf::Number(text) => self.find_number(text, &mut hit),
            Leaf::Literal(literal) => self.literals.get(literal).into_iter().flatten().copied().for_each(hit),
        }
    }

    fn find_text(&self, text: &str, buffers: &mut Buffers, hit: &mut impl FnMut(usize)) {
        self.texts.get(text).into_iter().flatten().copied().for_each(&mut *hit);
        self.prefixes.each(text.as_bytes(), |clauses| clauses.iter().copied().for_each(&mut *hit));
        self.wildcards.each(text.as_bytes(), |globs| {
            globs.iter().filter(|(glob, _)| glob.matches(text)).for_each(|(_, clause)| hit(*clause));
        });
        if !self.suffixes.is_empty() {
            reverse(text, &mut buffers.reversed);
            self.suffixes.each(&buffers.reversed, |clauses| {
                clauses.iter().copied().for_each(&mut *hit);
            });
        }
        let needs_folded =
            !(self.folded.is_empty() && self.folded_prefixes.is_empty() && self.folded_suffixes.is_empty());
        if needs_folded {
            self.find_folded(text, buffers, hit);
        }
        if !self.networks.is_empty()
            && let Some(address) = Address::parse(text)
        {
            for (_, prefix) in self.shapes.keys().filter(|(length, _)| *length == address.length()) {
                let clauses = self.networks.get(&address.network(*prefix));
                clauses.into_iter().flatten().copied().for_each(&mut *hit);
            }
        }
    }

    fn find_folded(&self, text: &str, buffers: &mut Buffers, hit: &mut impl FnMut(usize)) {
        fold_into(text, &mut buffers.folded);
        self.folded.get(buffers.folded.as_str()).into_iter().flatten().copied().for_each(&mut *hit);
        self.folded_prefixes.each(buffers.folded.as_bytes(), |clauses| {
            clauses.iter().copied().for_each(&mut *hit);
        });
        reverse(&buffers.folded, &mut buffers.reversed);
        self.folded_suffixes.each(&buffers.reversed, |clauses| {
            clauses.iter().copied().for_each(&mut *hit);
        });
    }

    fn find_number(&self, text: &str, hit: &mut impl FnMut(usize)) {
        if self.numbers.is_empty() && self.ranges.is_empty() {
            return;
        }
        let number = Number::parse(text);
        self.numbers.get(&number).into_iter().flatten().copied().for_each(&mut *hit);
        let begun = self.ranges.range(..=number).flat_map(|(_, ranges)| ranges);
        begun.filter(|(range, _)| range.contains(&number)).for_each(|(_, clause)| hit(*clause));
    }
}

fn forwards(text: &str) -> Box<[u8]> {
    text.as_bytes().into()
}

fn backwards(text: &str) -> Box<[u8]> {
    text.bytes().rev().collect()
}

fn reverse(text: &str, out: &mut Vec<u8>) {
    out.clear();
    out.extend(text.bytes().rev());
}

fn change_list<T: PartialEq>(list: &mut Vec<T>, item: T, add: bool) {
    if add {
        list.push(item);
    } else {
        list.retain(|other| *other != item);
    }
}

fn change_tree<K: Ord, T: PartialEq>(tree: &mut BTreeMap<K, Vec<T>>, key: K, item: T, add: bool) {
    if add {
        tree.entry(key).or_default().push(item);
    } else if let Some(list) = tree.get_mut(&key) {
        change_list(list, item, false);
        if list.is_empty() {
            tree.remove(&key);
        }
    }
}

/// Adds a clause to a text's list, or takes it out.
fn put_name(names: &mut Names<Clauses>, name: &str, clause: usize, add: bool) {
    match names.get_mut(name) {
        Some(list) => change_list(list, clause, add),
        None if add => names.insert(name, vec![clause]),
        None => {}
    }
    if names.get(name).is_some_and(Vec::is_empty) {
        names.remove(name);
    }
}

/// The same for a beginning.
fn put_beginning<T: PartialEq>(beginnings: &mut Beginnings<T>, beginning: Box<[u8]>, item: T, add: bool) {
    if add {
        beginnings.insert(beginning, item);
    } else {
        beginnings.remove(&beginning, &item);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_taken_out_is_gone() {
        let condition = Condition {
            texts: vec!["x".into()],
            numbers: vec![Number::parse("1")],
            others: vec![
                Test::Literal(Literal::Null),
                Test::Exists,
                Test::Prefix("x".into()),
                Test::Suffix("x".into()),
                Test::EqualsFolded("x".into()),
                Test::PrefixFolded("x".into()),
                Test::SuffixFolded("x".into()),
                Test::Wildcard(Glob::parse("x*").unwrap()),
                Test::Range(Range { low: (Number::LOWEST, false), high: None }),
                Test::Cidr(Cidr::parse("10.0.0.0/8").unwrap()),
            ],
            or_absent: false,
        };
        let leaves =
            [Leaf::Text("x"), Leaf::Number("1.0"), Leaf::Literal(Literal::Null), Leaf::Text("10.1.1.1")];
        let mut index = Index::default();
        index.change(&condition, 7, true);
        let hits = |index: &Index| {
            leaves.map(|leaf| {
                let mut hits = 0;
                index.find(&leaf, &mut Buffers::default(), |_| hits += 1);
                hits
            })
        };
        assert_eq!(hits(&index), [8, 3, 2, 2]);
        index.change(&condition, 7, false);
        assert_eq!(hits(&index), [0; 4]);
        assert_eq!(format!("{index:?}"), format!("{:?}", Index::default()));
    }
}
