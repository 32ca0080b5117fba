use std::time::Duration;

/// What the simulated world is made of; the same values make the same bytes on any machine.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where all chance comes from.
    pub seed: u64,
    /// How many providers there are.
    pub providers: usize,
    /// How many events a provider has room for; about 1 in 100 is absent from any one round.
    pub events: usize,
    /// The most zones that an event has; 0 makes events without zones.
    pub zones: usize,
    /// How often the feeds move on by themselves; `None`: only by [`Simulator::advance`](crate::Simulator::advance).
    pub round_every: Option<Duration>,
    /// The round to start with.
    pub first_round: u64,
    /// Whether about 1 in 200 events carries a fault such as a day that does not exist.
    pub bad_items: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            seed: 1,
            providers: 10,
            events: 100,
            zones: 3,
            round_every: None,
            first_round: 0,
            bad_items: true,
        }
    }
}
