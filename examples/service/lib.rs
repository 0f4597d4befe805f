//! Talks to two model providers.

const ANTHROPIC: &str = "sk-ant-api03-1rf0U6nBZ7npG1IrZMvGRWH84XbxHUXz5MXca2dS99kpwxRAd61Ia37aKrYRKAxfstiVKakeKzU3qSePlvH5c9qG0DxQEAA";
const HUGGING_FACE: &str = "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";

/// Looks like a key, is the name of one.
const KEY_NAME: &str = "shop_service_api_key_name";

pub fn token() -> Option<String> {
    std::env::var("SHOP_TOKEN").ok()
}
