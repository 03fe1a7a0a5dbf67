//! A value of an event's data: what JSON can say, exactly.
//!
//! Text may borrow from the input it was read from, so that the common path copies nothing.
//! Not here: reading JSON (`edge/cloudevents`) and writing CBOR (`evidence/entry`).
//!
//! Invariants:
//! - `VALUE-1`: an object's members are sorted by name in CBOR's order (length of the UTF-8, then bytes) and no
//!   name comes twice; [`Object::from_members`] is the only way to make one.
//! - `VALUE-2`: a decimal keeps the digits it was written with: `1.50` is not `1.5`.

use std::borrow::Cow;

/// A JSON value. Numbers are exact: integers as [`Value::Integer`], all others as [`Value::Decimal`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number written without fraction and exponent.
    Integer(i128),
    /// A number written with a fraction or an exponent.
    Decimal(Decimal),
    /// A string.
    Text(Cow<'a, str>),
    /// An array.
    Array(Vec<Value<'a>>),
    /// An object.
    Object(Object<'a>),
    /// A place whose value stands in the person's part with this index (1 to 7), or was erased with it; never read from
    /// outside.
    Withheld(u8),
}

/// A decimal number: `significand × 10^exponent`, with the digits as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Decimal {
    /// All digits without the point; negative for negative numbers.
    pub significand: i128,
    /// Power of ten, within ± [`crate::limits::NUMBER_EXPONENT_MAX`].
    pub exponent: i32,
}

/// An object's members, sorted and unique (`VALUE-1`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object<'a>(Vec<(Cow<'a, str>, Value<'a>)>);

/// A member's name that came twice in one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateName(pub String);

/// CBOR's order of text keys in deterministic encoding: bytewise over the encoded key, so shorter keys first.
#[must_use]
pub fn name_order(a: &str, b: &str) -> std::cmp::Ordering {
    a.len().cmp(&b.len()).then_with(|| a.as_bytes().cmp(b.as_bytes()))
}

impl<'a> Object<'a> {
    /// Sorts members and refuses a repeated name.
    ///
    /// # Errors
    /// [`DuplicateName`] with the first name that comes twice.
    pub fn from_members(mut members: Vec<(Cow<'a, str>, Value<'a>)>) -> Result<Self, DuplicateName> {
        members.sort_unstable_by(|(a, _), (b, _)| name_order(a, b));
        let twice = members.iter().zip(members.iter().skip(1)).find(|((a, _), (b, _))| a == b);
        if let Some(((name, _), _)) = twice {
            return Err(DuplicateName(name.as_ref().to_owned()));
        }
        Ok(Self(members))
    }

    /// The members in order.
    #[must_use]
    pub fn members(&self) -> &[(Cow<'a, str>, Value<'a>)] {
        &self.0
    }

    /// The value of the member called `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        let index = self.0.binary_search_by(|(member, _)| name_order(member, name)).ok()?;
        self.0.get(index).map(|(_, value)| value)
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Object<'static> {
        Object(self.0.into_iter().map(|(k, v)| (Cow::Owned(k.into_owned()), v.into_owned())).collect())
    }

    /// The value of the member called `name`, to change in place; its name stays.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Value<'a>> {
        let index = self.0.binary_search_by(|(member, _)| name_order(member, name)).ok()?;
        self.0.get_mut(index).map(|(_, value)| value)
    }
}

impl<'a> Value<'a> {
    /// The text, where it is one.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null
            | Self::Bool(_)
            | Self::Integer(_)
            | Self::Decimal(_)
            | Self::Array(_)
            | Self::Object(_)
            | Self::Withheld(_) => None,
        }
    }

    /// The value one step down: a member by its name, or an array's element by its decimal index (RFC 6901).
    #[must_use]
    pub fn child(&self, step: &str) -> Option<&Value<'a>> {
        match self {
            Self::Object(object) => object.get(step),
            Self::Array(items) => items.get(array_index(step)?),
            Self::Null
            | Self::Bool(_)
            | Self::Integer(_)
            | Self::Decimal(_)
            | Self::Text(_)
            | Self::Withheld(_) => None,
        }
    }

    /// As [`Value::child`], to change in place.
    pub fn child_mut(&mut self, step: &str) -> Option<&mut Value<'a>> {
        match self {
            Self::Object(object) => object.get_mut(step),
            Self::Array(items) => items.get_mut(array_index(step)?),
            Self::Null
            | Self::Bool(_)
            | Self::Integer(_)
            | Self::Decimal(_)
            | Self::Text(_)
            | Self::Withheld(_) => None,
        }
    }

    /// A copy that borrows nothing.
    #[must_use]
    pub fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(b) => Value::Bool(b),
            Self::Integer(i) => Value::Integer(i),
            Self::Decimal(d) => Value::Decimal(d),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::Array(items) => Value::Array(items.into_iter().map(Value::into_owned).collect()),
            Self::Object(object) => Value::Object(object.into_owned()),
            Self::Withheld(part) => Value::Withheld(part),
        }
    }
}

/// An array index as RFC 6901 §4 writes it: `0`, or digits without a leading zero.
fn array_index(step: &str) -> Option<usize> {
    if step.starts_with('0') && step.len() > 1 || step.starts_with('+') {
        return None;
    }
    step.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(name: &str, value: i128) -> (Cow<'_, str>, Value<'_>) {
        (Cow::Borrowed(name), Value::Integer(value))
    }

    #[test]
    fn an_object_sorts_its_members_in_cbor_order_and_refuses_repeats() {
        let object =
            Object::from_members(vec![member("bb", 1), member("a", 2), member("c", 3), member("ab", 4)])
                .unwrap();
        let names: Vec<_> = object.members().iter().map(|(name, _)| name.as_ref()).collect();
        assert_eq!(names, ["a", "c", "ab", "bb"]);
        assert_eq!(object.get("ab"), Some(&Value::Integer(4)));
        assert_eq!(object.get("zz"), None);
        let twice = Object::from_members(vec![member("x", 1), member("y", 2), member("x", 3)]);
        assert_eq!(twice.unwrap_err(), DuplicateName("x".to_owned()));
    }

    #[test]
    fn steps_follow_rfc_6901() {
        let value = Value::Array(vec![Value::Integer(7), Value::Null]);
        assert_eq!(value.child("0"), Some(&Value::Integer(7)));
        for bad in ["00", "+0", "-1", "2", "", "x"] {
            assert_eq!(value.child(bad), None, "{bad}");
        }
    }
}
