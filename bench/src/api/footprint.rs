//! What very many distinct searches leave in an API process' memory.

use super::dataset::SEARCH;
use super::served;
use super::verdict::Verdict;
use super::world::World;
use super::wrk::Requests;
use crate::{memory, show};

/// Beyond its cache: connections, buffers, statements and what the allocator keeps.
const BESIDE_CACHE_MIB: f64 = 64.0;
/// Entries cost more than what is in them.
const OF_CACHE: f64 = 1.5;
const MIB: f64 = 1024.0;

pub(super) async fn run(world: &World, verdict: &mut Verdict) -> anyhow::Result<()> {
    let what = "memory";
    let api = world.another_api().await?;
    let probe = format!("{SEARCH}?starts_at=2000-01-01&ends_at=2000-01-01");
    world.client.get(&api.address, &probe, &[]).await?.good()?;
    let idle = memory::resident_kib_of(api.pid())? as f64 / MIB;
    let mut asked = 0;
    let mut seconds = 0.0;
    // Small answers by turns with larger ones: of small ones there are more in a cache.
    for results in [20, 1].into_iter().cycle() {
        if asked >= world.options.queries {
            break;
        }
        let requests = Requests::Distinct { results };
        let load = world.load(&api, &requests, &[]).await?;
        verdict.clean(what, &load.told);
        asked += load.told.requests;
        seconds += load.told.seconds();
    }
    let after = memory::resident_kib_of(api.pid())? as f64 / MIB;
    let peak = memory::peak_kib_of(api.pid())? as f64 / MIB;
    api.stop().await?;
    let cache = served::cache_bytes() as f64 / MIB / MIB;
    let limit = cache * OF_CACHE + BESIDE_CACHE_MIB;
    let above = peak - idle;
    let held = verdict.at_most("MiB of memory above idle", above, limit);
    show::line(&format!(
        "{what:<26} {asked} distinct searches in {seconds:.0} s; idle {idle:.0} MiB, after {after:.0} MiB; cache \
         {cache:.0} MiB; peak {above:.0} MiB above idle, {held}"
    ));
    Ok(())
}
