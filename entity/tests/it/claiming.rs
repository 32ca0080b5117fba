//! Which providers a scheduler claims, and in which order.

use std::collections::HashSet;
use std::sync::Arc;

use entity::claim::{self, claim_due};
use entity::{fan_out, provider, run};
use sea_orm::TransactionTrait;
use sea_orm::{ConnectionTrait, EntityTrait};
use tokio::sync::Barrier;
use uuid::Uuid;

use crate::on_both_databases;
use crate::world::World;

on_both_databases!(
    a_due_provider_gets_a_queued_run_and_a_higher_token,
    what_is_late_in_proportion_goes_first_up_to_the_limit,
    paused_retired_claimed_and_early_providers_are_left_alone,
    a_pause_that_is_over_no_longer_holds_a_provider,
    a_sealed_fan_out_claims_nothing,
    batches_of_one_tick_share_a_fan_out,
    claimers_at_once_claim_each_provider_once,
    each_run_keeps_the_trace_context_that_it_was_given,
    a_request_counts_the_runs_that_its_fan_out_has_already,
);

async fn a_due_provider_gets_a_queued_run_and_a_higher_token(world: World) {
    world.add(&["acme"]).await;
    assert!(claim::anything_due(&world.db).await.unwrap());
    let before = world.now().await;
    let fan_out = Uuid::now_v7();
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let claimed = claim_due(&world.db, fan_out, Some(trace), 10)
        .await
        .unwrap();
    let claimed = claimed.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].traceparent.as_deref(), Some(trace));

    let provider = world.provider("acme").await;
    assert_eq!(
        (provider.token, provider.current_run),
        (1, Some(claimed[0].id))
    );
    let run = world.run(claimed[0].id).await;
    assert_eq!(run.provider_id, provider.id);
    assert_eq!(
        (run.token, run.state, run.outcome),
        (1, run::State::Queued, None)
    );
    assert_eq!(
        (run.worker, run.lease_until, run.started_at),
        (None, None, None)
    );
    assert_eq!(run.traceparent.as_deref(), Some(trace));
    assert!(run.queued_at >= before);
    let first_push_again = run.next_push_at.unwrap() - run.queued_at;
    assert_eq!((run.push_count, first_push_again.num_seconds()), (1, 10));

    let row = world.fan_out(fan_out).await;
    assert_eq!(
        (row.trigger, row.sealed_at, row.closed_at),
        (fan_out::Trigger::Tick, None, None)
    );
    assert_eq!(claim::outstanding(&world.db).await.unwrap(), 1);
    assert!(!claim::anything_due(&world.db).await.unwrap());
}

async fn what_is_late_in_proportion_goes_first_up_to_the_limit(world: World) {
    // Each with its interval and how late it is: 3, 2 and 1.1 intervals, in seconds.
    let late = [
        ("slow", 900, 990),
        ("quick", 60, 180),
        ("daily", 86_400, 172_800),
    ];
    for (name, interval, by) in late {
        world.add(&[name]).await;
        // The order is that of the deadlines, one interval after the due time.
        let sql = format!(
            "UPDATE provider SET interval_ms = $2, next_due_at = {}, late_at = {} WHERE name = $1",
            world.in_seconds(-by),
            world.in_seconds(interval - by)
        );
        let interval_ms = interval * 1000;
        world
            .execute(&sql, vec![name.into(), interval_ms.into()])
            .await;
    }
    let mut order = Vec::new();
    for _ in late {
        let runs = world.claim(1).await;
        assert_eq!(runs.len(), 1);
        let run = world.run(runs[0]).await;
        let claimed = provider::Entity::find_by_id(run.provider_id);
        let claimed = claimed.one(&world.db.write).await.unwrap();
        order.push(claimed.unwrap().name);
    }
    assert_eq!(order, ["daily", "quick", "slow"]);
}

async fn paused_retired_claimed_and_early_providers_are_left_alone(world: World) {
    world.add(&["claimed"]).await;
    assert_eq!(world.claim(10).await.len(), 1);
    world.add(&["early", "paused", "resting", "retired"]).await;
    let sql = format!(
        "UPDATE provider SET next_due_at = {} WHERE name = 'early'",
        world.in_seconds(60)
    );
    world.execute(&sql, vec![]).await;
    let sql = format!(
        "UPDATE provider SET paused_at = {}, paused_until = {} WHERE name = 'resting'",
        world.in_seconds(-60),
        world.in_seconds(60)
    );
    world.execute(&sql, vec![]).await;
    provider::pause(&world.db, "paused", "moving house", "ops")
        .await
        .unwrap();
    provider::retire(&world.db, "retired").await.unwrap();

    assert!(!claim::anything_due(&world.db).await.unwrap());
    assert!(world.claim(10).await.is_empty());
    assert_eq!(world.count("run").await, 1);
    // A tick that claims nothing leaves no fan-out behind.
    assert_eq!(world.count("fan_out").await, 1);
}

async fn a_pause_that_is_over_no_longer_holds_a_provider(world: World) {
    world.add(&["resting"]).await;
    let sql = format!(
        "UPDATE provider SET paused_at = {}, paused_until = {}",
        world.in_seconds(-60),
        world.in_seconds(-1)
    );
    world.execute(&sql, vec![]).await;
    assert!(claim::anything_due(&world.db).await.unwrap());
    assert_eq!(world.claim(10).await.len(), 1);
}

async fn a_sealed_fan_out_claims_nothing(world: World) {
    world.add(&["acme", "other"]).await;
    let fan_out = Uuid::now_v7();
    assert_eq!(world.claim_for(fan_out, 1).await.len(), 1);
    fan_out::seal(&world.db, fan_out).await.unwrap();
    let claimed = claim_due(&world.db, fan_out, None, 10).await.unwrap();
    assert_eq!(claimed, None);
    assert_eq!(claim::outstanding(&world.db).await.unwrap(), 1);
    assert_eq!(world.claim(10).await.len(), 1);
}

async fn batches_of_one_tick_share_a_fan_out(world: World) {
    world.add(&["a", "b", "c"]).await;
    let fan_out = Uuid::now_v7();
    assert_eq!(world.claim_for(fan_out, 2).await.len(), 2);
    assert_eq!(world.claim_for(fan_out, 2).await.len(), 1);
    let progress = fan_out::progress(&world.db.read, fan_out)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (progress.waiting, progress.open, progress.closed),
        (0, 3, false)
    );
}

async fn claimers_at_once_claim_each_provider_once(world: World) {
    let names: Vec<String> = (0..60).map(|number| format!("provider-{number}")).collect();
    world
        .add(&names.iter().map(String::as_str).collect::<Vec<_>>())
        .await;
    let start = Arc::new(Barrier::new(6));
    let claimers: Vec<_> = (0..6)
        .map(|_| {
            let (db, start) = (world.db.clone(), Arc::clone(&start));
            tokio::spawn(async move {
                start.wait().await;
                let mut runs = Vec::new();
                loop {
                    let claimed = claim_due(&db, Uuid::now_v7(), None, 7).await;
                    let claimed = claimed.unwrap().unwrap();
                    if claimed.is_empty() {
                        return runs;
                    }
                    runs.extend(claimed.into_iter().map(|run| run.id));
                }
            })
        })
        .collect();
    let mut runs = HashSet::new();
    for claimer in claimers {
        runs.extend(claimer.await.unwrap());
    }
    // A claimer passes over what another has locked and may leave before that one is done.
    assert_eq!(runs.len(), 60);
    let providers = provider::active(&world.db.write).await.unwrap();
    assert!(providers.iter().all(|provider| provider.token == 1));
}

#[tokio::test]
async fn a_provider_under_another_transactions_lock_is_passed_over() {
    let world = World::postgres().await;
    world.add(&["locked", "free"]).await;
    let other = world.db.write.begin().await.unwrap();
    let sql = "SELECT id FROM provider WHERE name = 'locked' FOR NO KEY UPDATE";
    other
        .query_one_raw(world.statement(sql, vec![]))
        .await
        .unwrap();
    let runs = world.claim(10).await;
    assert_eq!(runs.len(), 1);
    assert_eq!(world.provider("free").await.current_run, Some(runs[0]));
    other.rollback().await.unwrap();
    assert_eq!(world.claim(10).await.len(), 1);
}

/// Claims are numbered within their fan-out; every third run gets no trace context.
fn numbered(claim: claim::Claim<'_>) -> Option<String> {
    let of = claim.traceparent.unwrap_or("nothing");
    (claim.before % 3 != 2).then(|| format!("{of}/{}/{}", claim.fan_out, claim.before))
}

async fn each_run_keeps_the_trace_context_that_it_was_given(world: World) {
    world.add(&["a", "b", "c", "d"]).await;
    let fan_out = Uuid::now_v7();
    let mut expected = Vec::new();
    let mut asked = Vec::new();
    for claimed in [0, 2] {
        let tick = claim::Tick {
            fan_out,
            traceparent: Some("tick"),
            claimed,
        };
        let mut trace = |claim: claim::Claim<'_>| {
            asked.push(claim.run);
            numbered(claim)
        };
        let batch = claim::claim_due_traced(&world.db, tick, 2, &mut trace).await;
        expected.extend(batch.unwrap().unwrap());
    }
    let told: Vec<_> = expected.iter().map(|run| run.traceparent.clone()).collect();
    let of = |before: u64| Some(format!("tick/{fan_out}/{before}"));
    assert_eq!(told, [of(0), of(1), None, of(3)]);
    let ids: Vec<_> = expected.iter().map(|run| run.id).collect();
    assert_eq!(asked, ids);
    for run in expected {
        assert_eq!(world.run(run.id).await.traceparent, run.traceparent);
    }
}

async fn a_request_counts_the_runs_that_its_fan_out_has_already(world: World) {
    let names = ["a", "b", "c", "d", "e"];
    world.add(&names).await;
    // One of them is being synced already, and lends its run.
    let lent = world.claim(1).await[0];
    let mut providers = Vec::new();
    for name in names {
        providers.push(world.provider(name).await.id);
    }
    let request = entity::fan_out::Request {
        trigger: entity::fan_out::Trigger::Command,
        traceparent: Some("asked"),
        providers: &providers,
        accept_gone: false,
    };
    let fan_out = entity::fan_out::request(&world.db, request).await.unwrap();
    let mut told = Vec::new();
    while let Some(taken) = claim::take_requests_traced(&world.db, 2, &mut numbered)
        .await
        .unwrap()
    {
        for run in taken {
            assert_eq!(world.run(run.id).await.traceparent, run.traceparent);
            told.push(run.traceparent);
        }
    }
    assert_eq!(world.run(lent).await.traceparent, None);
    told.sort();
    told.dedup();
    // Of batches of two, the one with the lent run has one new.
    assert_eq!(told.len(), 4, "{told:?}");
    assert_eq!(told[0], None);
    let of_it = |text: &Option<String>| {
        let asked = format!("asked/{fan_out}/");
        text.as_ref().is_none_or(|text| text.starts_with(&asked))
    };
    assert!(told.iter().all(of_it), "{told:?}");
}
