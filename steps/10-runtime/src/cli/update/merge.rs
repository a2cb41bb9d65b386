//! Merges new limits into those that a container has.

use serde_json::{Map, Value};

/// The numbers for which 0 is a value. For all others it means that the limit stays as
/// it is: the clients of runc send 0 for what their users have not set.
const ZEROS: [(&str, &str); 4] =
    [("cpu", "idle"), ("cpu", "burst"), ("pids", "limit"), ("memory", "swappiness")];

/// Returns `before` with the limits of `asked` in place of the old ones. A list replaces
/// a list. The limit of memory and swap together ends with that of memory.
pub(super) fn merge(before: Value, asked: &Value) -> Value {
    let mut merged = match before {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    for (section, new) in asked.as_object().into_iter().flatten() {
        match (merged.get_mut(section).and_then(Value::as_object_mut), new.as_object())
        {
            (_, None) if is_unset(section, "", new) => {}
            (Some(old), Some(new)) => set(section, old, new),
            (None, Some(new)) => {
                let mut old = Map::new();
                set(section, &mut old, new);
                if !old.is_empty() {
                    merged.insert(section.clone(), Value::Object(old));
                }
            }
            (_, None) => drop(merged.insert(section.clone(), new.clone())),
        }
    }
    let memory = |key: &str| asked.get("memory").and_then(|it| it.get(key)?.as_i64());
    if memory("limit") == Some(-1)
        && matches!(memory("swap"), None | Some(0))
        && let Some(merged) = merged.get_mut("memory").and_then(Value::as_object_mut)
    {
        merged.remove("swap");
    }
    Value::Object(merged)
}

fn set(section: &str, old: &mut Map<String, Value>, new: &Map<String, Value>) {
    for (key, value) in new.iter().filter(|(key, it)| !is_unset(section, key, it)) {
        old.insert(key.clone(), value.clone());
    }
}

fn is_unset(section: &str, key: &str, value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Number(number) => {
            number.as_i64() == Some(0) && !ZEROS.contains(&(section, key))
        }
        Value::String(text) => text.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_asked_for_stays() {
        let before = json!({"memory": {"limit": 5, "swap": 9}, "cpu": {"shares": 2}});
        let asked = json!({"memory": {"limit": 6, "swap": 0}, "pids": {"limit": 0},
            "cpu": {"idle": 0, "quota": 0, "cpus": ""}, "blockIO": {"weight": 0}});
        let merged = json!({"memory": {"limit": 6, "swap": 9}, "pids": {"limit": 0},
            "cpu": {"shares": 2, "idle": 0}});
        assert_eq!(merge(before, &asked), merged);
    }

    #[test]
    fn no_limit_of_memory_means_none_of_memory_and_swap() {
        let before = json!({"memory": {"limit": 5, "swap": 9}});
        let merged = merge(before, &json!({"memory": {"limit": -1}}));
        assert_eq!(merged, json!({"memory": {"limit": -1}}));
    }
}
