//! What differs between two versions of an event, with prices as answers write them.

use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Serialize, Serializer};
use serde_json::Value;
use utoipa::openapi::schema::{AdditionalProperties, ArrayItems, SchemaType};
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, Type};

use crate::render::Price;

/// The log's `{"field": [before, after]}`, in which prices are ten-thousandths.
#[derive(Debug)]
pub(crate) struct Difference(pub(crate) Value);

/// How the document tells of an `Option<Difference>`.
pub(crate) fn difference() -> ObjectBuilder {
    let sides = ArrayBuilder::new()
        .items(ArrayItems::RefOrSchema(Box::new(
            ObjectBuilder::new()
                .schema_type(SchemaType::AnyValue)
                .into(),
        )))
        .min_items(Some(2))
        .max_items(Some(2));
    ObjectBuilder::new()
        .schema_type(SchemaType::from_iter([Type::Object, Type::Null]))
        .description(Some(
            "What differs, as `{\"field\": [before, after]}`; null where nothing was there before, or \
             where the event only left its feed or came back to it.",
        ))
        .additional_properties(Some(AdditionalProperties::RefOr(sides.into())))
}

impl Serialize for Difference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Value::Object(fields) = &self.0 else {
            return self.0.serialize(serializer);
        };
        let mut map = serializer.serialize_map(Some(fields.len()))?;
        for (name, sides) in fields {
            match name.as_str() {
                "min_price" | "max_price" => map.serialize_entry(name, &Each(sides, Amount))?,
                "zones" => map.serialize_entry(name, &Each(sides, ZoneList))?,
                _ => map.serialize_entry(name, sides)?,
            }
        }
        map.end()
    }
}

/// A list whose items are written in a way of their own.
struct Each<'a, F>(&'a Value, F);

/// An item as JSON writes it, but for what is special in it.
struct As<'a, F>(&'a Value, F);

#[derive(Clone, Copy)]
struct Amount;

#[derive(Clone, Copy)]
struct ZoneList;

#[derive(Clone, Copy)]
struct OneZone;

impl<F: Copy> Serialize for Each<'_, F>
where
    for<'b> As<'b, F>: Serialize,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Value::Array(items) = self.0 else {
            return self.0.serialize(serializer);
        };
        let mut list = serializer.serialize_seq(Some(items.len()))?;
        for item in items {
            list.serialize_element(&As(item, self.1))?;
        }
        list.end()
    }
}

impl Serialize for As<'_, Amount> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_i64() {
            Some(amount) => Price(amount).serialize(serializer),
            None => self.0.serialize(serializer),
        }
    }
}

impl Serialize for As<'_, ZoneList> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Each(self.0, OneZone).serialize(serializer)
    }
}

impl Serialize for As<'_, OneZone> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Value::Object(zone) = self.0 else {
            return self.0.serialize(serializer);
        };
        let mut map = serializer.serialize_map(Some(zone.len()))?;
        for (name, value) in zone {
            if name == "price" {
                map.serialize_entry(name, &As(value, Amount))?;
            } else {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn prices_are_written_as_everywhere_else() {
        let logged = json!({
            "min_price": [150_000, 155_500],
            "max_price": [null, 1],
            "title": ["before", "after"],
            "zones": [[], [{"id": "40", "capacity": 243, "price": 200_000}]],
        });
        let written = serde_json::to_string(&Difference(logged)).unwrap();
        for part in [
            r#""min_price":[15.00,15.55]"#,
            r#""max_price":[null,0.0001]"#,
            r#""title":["before","after"]"#,
            r#""price":20.00"#,
            r#""capacity":243"#,
        ] {
            assert!(written.contains(part), "{part} is not in {written}");
        }
    }
}
