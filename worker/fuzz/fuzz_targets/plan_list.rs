#![no_main]

#[path = "../properties/plan_list.rs"]
mod plan_list;

libfuzzer_sys::fuzz_target!(|feed: &[u8]| {
    let _ = plan_list::holds(feed);
});
