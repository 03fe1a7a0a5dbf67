//! Answers that are longer than the desk's: told in pieces, each with a line before it that says how it goes on.
//!
//! Held answers are few and bounded; the oldest gives way, and what is left of it is refused then. An answer is let go when
//! its last piece was asked for. Nothing here outlives the process.
//! Not here: what the answers say (`deliveries`).

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::Refused;

/// Most bytes of an answer in one piece; with its head this is less than the desk's answers may have.
pub const PIECE_BYTES_MAX: usize = 15_000;
/// Most bytes of all answers that are held.
const HELD_BYTES_MAX: usize = 32 * 1_024 * 1_024;
/// Most answers that are held.
const HELD_MAX: usize = 8;

/// The line before a piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Head {
    /// Nothing follows this piece.
    Last,
    /// More is held.
    Held {
        /// The answer's number.
        answer: u64,
        /// The byte that the next piece begins with.
        next: usize,
    },
    /// There is no answer.
    Refused(Refused),
}

/// Answers of which some pieces have not been asked for yet.
#[derive(Debug, Default)]
pub(crate) struct Held {
    next: u64,
    bytes: usize,
    answers: VecDeque<(u64, String)>,
}

impl Held {
    /// The first piece of an answer, which is held where there is more of it.
    pub(crate) fn first(&mut self, answer: String) -> String {
        if answer.len() <= PIECE_BYTES_MAX {
            return piece(&Head::Last, &answer);
        }
        let number = self.next;
        self.next = number.wrapping_add(1);
        let (told, next) = cut(&answer, 0);
        let told = piece(&Head::Held { answer: number, next }, told);
        self.bytes = self.bytes.saturating_add(answer.len());
        self.answers.push_back((number, answer));
        while self.answers.len() > HELD_MAX || self.bytes > HELD_BYTES_MAX {
            let Some((_, oldest)) = self.answers.pop_front() else { break };
            self.bytes = self.bytes.saturating_sub(oldest.len());
        }
        told
    }

    /// A further piece; none where it is not held.
    pub(crate) fn more(&mut self, number: u64, from: usize) -> Option<String> {
        let at = self.answers.iter().position(|(known, _)| *known == number)?;
        let (_, answer) = self.answers.get(at)?;
        if !answer.is_char_boundary(from) || from >= answer.len() {
            return None;
        }
        let (told, next) = cut(answer, from);
        if next < answer.len() {
            return Some(piece(&Head::Held { answer: number, next }, told));
        }
        let (told, bytes) = (piece(&Head::Last, told), answer.len());
        self.bytes = self.bytes.saturating_sub(bytes);
        self.answers.remove(at);
        Some(told)
    }
}

/// A refusal instead of an answer.
pub(crate) fn refusal(refused: Refused) -> String {
    piece(&Head::Refused(refused), "")
}

/// A piece of an answer from a byte on, and the byte behind it.
fn cut(answer: &str, from: usize) -> (&str, usize) {
    let to = answer.floor_char_boundary(from.saturating_add(PIECE_BYTES_MAX));
    (answer.get(from..to).unwrap_or_default(), to)
}

fn piece(head: &Head, text: &str) -> String {
    // A value of texts and numbers only: there is nothing that cannot be written.
    let head = serde_json::to_string(head).unwrap_or_default();
    format!("{head}\n{text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an answer as an asker does; none where the rest of it is not held.
    fn read(held: &mut Held, mut told: String) -> Option<String> {
        let mut whole = String::new();
        loop {
            assert!(told.len() < 16_000, "{}", told.len());
            let (head, text) = told.split_once('\n').unwrap();
            whole.push_str(text);
            match serde_json::from_str(head).unwrap() {
                Head::Last => return Some(whole),
                Head::Refused(refused) => panic!("{refused:?}"),
                Head::Held { answer, next } => {
                    assert_eq!(next, whole.len());
                    told = held.more(answer, next)?;
                }
            }
        }
    }

    #[test]
    fn answers_of_every_length_are_told_whole_and_not_held_any_longer() {
        let mut held = Held::default();
        for length in
            [0, 1, PIECE_BYTES_MAX - 1, PIECE_BYTES_MAX, PIECE_BYTES_MAX + 1, 3 * PIECE_BYTES_MAX, 200_001]
        {
            // Two bytes a character, off by one, so that pieces end within one.
            let answer: String = std::iter::once('x').chain("ü".chars().cycle()).take(length).collect();
            let told = held.first(answer.clone());
            assert_eq!(read(&mut held, told), Some(answer), "{length}");
            assert!(held.bytes == 0 && held.answers.is_empty());
        }
    }

    #[test]
    fn the_oldest_answer_gives_way_and_the_others_stay() {
        let mut held = Held::default();
        let long = "x".repeat(PIECE_BYTES_MAX + 1);
        let told: Vec<String> = (0..=HELD_MAX).map(|_| held.first(long.clone())).collect();
        let mut read_all = told.into_iter().map(|told| read(&mut held, told));
        assert_eq!(read_all.next(), Some(None));
        assert!(read_all.all(|told| told.as_deref() == Some(long.as_str())));
        let mut stays = |bytes: usize| {
            let first = held.first(long.clone());
            let second = held.first("y".repeat(bytes));
            [first, second].map(|told| read(&mut held, told).is_some())
        };
        assert_eq!(stays(HELD_BYTES_MAX - long.len()), [true, true]);
        assert_eq!(stays(HELD_BYTES_MAX - long.len() + 1), [false, true]);
    }

    #[test]
    fn a_place_between_characters_or_beyond_the_end_is_refused() {
        let mut held = Held::default();
        drop(held.first("ü".repeat(PIECE_BYTES_MAX)));
        assert!(held.more(0, 2).is_some());
        for (answer, from) in [(0, 1), (0, 2 * PIECE_BYTES_MAX), (0, usize::MAX), (1, 0)] {
            assert_eq!(held.more(answer, from), None, "{answer} {from}");
        }
    }
}
