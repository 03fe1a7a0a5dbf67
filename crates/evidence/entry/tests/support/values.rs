//! Arbitrary values of an event's data, for the property tests.

use std::borrow::Cow;
use std::collections::BTreeMap;

use proptest::prelude::*;
use waag_model::value::{Decimal, Object, Value};

/// An object of these members; of two with one name the last.
pub(crate) fn object(members: Vec<(String, Value<'static>)>) -> Value<'static> {
    let unique: BTreeMap<_, _> = members.into_iter().collect();
    let members = unique.into_iter().map(|(name, value)| (Cow::Owned(name), value)).collect();
    Object::from_members(members).map_or(Value::Null, Value::Object)
}

/// Names that the schemas of the tests know, that need escaping in a path, and any others.
pub(crate) fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec!["employee", "id", "name", "lines", "iban", "memo", "a/b", "~1", "", "0"])
            .prop_map(str::to_owned),
        1 => ".{0,9}",
    ]
}

/// A scalar; `texts` makes its texts.
pub(crate) fn scalar(texts: BoxedStrategy<String>) -> impl Strategy<Value = Value<'static>> {
    let near = |of: i128| (of - 2..=of + 2).prop_map(Value::Integer);
    prop_oneof![
        1 => Just(Value::Null),
        1 => any::<bool>().prop_map(Value::Bool),
        1 => any::<i128>().prop_map(Value::Integer),
        1 => any::<i64>().prop_map(|n| Value::Integer(n.into())),
        1 => (0..300_i128).prop_map(|n| Value::Integer(n - 150)),
        1 => near(u64::MAX.into()),
        1 => near(-i128::from(u64::MAX) - 1),
        1 => (any::<i128>(), -400..=400_i32)
            .prop_map(|(significand, exponent)| Value::Decimal(Decimal { significand, exponent })),
        1 => (any::<i16>(), -3..2_i32)
            .prop_map(|(s, exponent)| Value::Decimal(Decimal { significand: s.into(), exponent })),
        3 => texts.prop_map(|text| Value::Text(text.into())),
    ]
}

/// A value of any shape over these scalars, with these names.
pub(crate) fn shaped(
    leaf: BoxedStrategy<Value<'static>>,
    names: BoxedStrategy<String>,
) -> BoxedStrategy<Value<'static>> {
    leaf.prop_recursive(5, 40, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::vec((names.clone(), inner), 0..6).prop_map(object),
        ]
    })
    .boxed()
}

/// Any value as an event's data can be.
pub(crate) fn value() -> BoxedStrategy<Value<'static>> {
    shaped(scalar(prop_oneof![".{0,12}", "[a-z]{0,300}"].boxed()).boxed(), name().boxed())
}
