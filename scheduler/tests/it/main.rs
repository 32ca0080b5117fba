//! Schedulers against a real database.

mod claiming;
mod world;
