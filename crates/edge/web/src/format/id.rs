//! Ids of any length in lists: whole on one line, whole on several, or shortened in the middle.
//!
//! Not here: the full id beside a shortened one, which templates put into the title and the link's name.

/// Longest id that a list has whole, in characters.
const ID_CHARS_MAX: usize = 49;
/// Longest id that stays on one line of a list, in characters.
const ID_LINE_CHARS_MAX: usize = 16;

/// A text of more characters than a list has room for, shortened in the middle: ids often differ at their ends.
pub(crate) fn shortened(text: &str) -> Option<String> {
    let count = text.chars().count();
    if count <= ID_CHARS_MAX {
        return None;
    }
    let part = ID_CHARS_MAX.saturating_sub(1) / 2;
    let head: String = text.chars().take(part).collect();
    let tail: String = text.chars().skip(count.saturating_sub(part)).collect();
    Some(format!("{head}…{tail}"))
}

/// Whether an id is so short that a list keeps it on one line.
pub(crate) fn is_short(text: &str) -> bool {
    text.chars().count() <= ID_LINE_CHARS_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_id_keeps_its_beginning_and_its_end() {
        let whole = "é".repeat(ID_CHARS_MAX);
        assert_eq!(shortened(&whole), None);
        let long = format!("A{whole}Z");
        let short = shortened(&long).unwrap();
        assert_eq!(short.chars().count(), ID_CHARS_MAX);
        assert!(short.starts_with("Aé") && short.contains("é…é") && short.ends_with("éZ"));
    }
}
