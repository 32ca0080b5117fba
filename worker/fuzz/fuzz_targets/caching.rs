#![no_main]

#[path = "../properties/caching.rs"]
mod caching;

libfuzzer_sys::fuzz_target!(|head: &[u8]| {
    caching::holds(head);
});
