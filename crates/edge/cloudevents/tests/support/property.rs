//! What must hold of the reader for any input at all; shared by the corpus test and the fuzz target.

use waag_cloudevents::{read_event, write_event};

/// Panics where an accepted event does not come back equal, or where the writer makes it longer.
///
/// Answers whether the input was accepted.
pub(crate) fn holds_for(input: &[u8]) -> bool {
    let event = match read_event(input) {
        Ok(event) => event,
        Err(refusal) => {
            assert!(refusal.offset <= input.len(), "{refusal}");
            assert!(refusal.path.is_empty() || refusal.path.starts_with('/'), "{refusal}");
            assert!(!refusal.to_string().contains(char::is_control), "{refusal}");
            return false;
        }
    };
    let mut written = Vec::new();
    write_event(&event, &mut written);
    assert!(written.len() <= input.len(), "written longer than read: {}", String::from_utf8_lossy(&written));
    assert_eq!(read_event(&written).as_ref(), Ok(&event), "{}", String::from_utf8_lossy(&written));
    let mut again = Vec::new();
    write_event(&event.into_owned(), &mut again);
    assert_eq!(again, written);
    true
}
