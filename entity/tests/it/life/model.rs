//! What the world should look like, kept beside the real one: what each provider's event says, by
//! whose commit, and how many crashes were anyone's fault.

use std::collections::{HashMap, HashSet};

use entity::commit::{Committed, commit};
use entity::fan_out::Trigger;
use entity::lease::{self, Begun};
use entity::{claim, event, fan_out, invariants, provider, run};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use sea_orm::{ConnectionTrait, EntityTrait};
use uuid::Uuid;

use super::Step;
use crate::world::{LEASE, World, bare, creating, finish, replacing};

pub(super) struct Model<'a> {
    world: &'a World,
    providers: Vec<String>,
    /// Every run that was ever pushed: each may be delivered at any time, any number of times.
    jobs: Vec<Uuid>,
    /// Everything that a worker ever began, whether it is still its own or not.
    begun: Vec<Begun>,
    committed: HashSet<Uuid>,
    /// What the last commit that held wrote, by provider.
    titles: HashMap<String, String>,
    /// Makes each title new.
    counter: usize,
}

impl<'a> Model<'a> {
    pub(super) async fn new(world: &'a World, providers: usize) -> Self {
        for table in [
            "fan_out_request",
            "fan_out",
            "event_change",
            "dataset_commit",
            "event",
            "run",
            "host",
            "provider",
        ] {
            let sql = format!("DELETE FROM {table}");
            world.db.write.execute_unprepared(&sql).await.unwrap();
        }
        let reset = "UPDATE dataset SET version = 0";
        world.db.write.execute_unprepared(reset).await.unwrap();
        let names: Vec<String> = (0..providers).map(|n| format!("provider-{n}")).collect();
        world
            .add(&names.iter().map(String::as_str).collect::<Vec<_>>())
            .await;
        Self {
            world,
            providers: names,
            jobs: Vec::new(),
            begun: Vec::new(),
            committed: HashSet::new(),
            titles: HashMap::new(),
            counter: 0,
        }
    }

    /// Does one thing for real, and looks whether everything still holds.
    pub(super) async fn step(&mut self, step: &Step) -> Result<(), TestCaseError> {
        let db = &self.world.db;
        match step {
            Step::Claim { limit } => {
                let claimed = claim::claim_due(db, Uuid::now_v7(), None, *limit).await;
                self.pushed(claimed.unwrap().unwrap());
            }
            Step::TimePasses => self.all_due().await,
            Step::Request {
                provider,
                accept_gone,
            } => {
                let model = self.world.provider(&self.providers[*provider]).await;
                let request = fan_out::Request {
                    trigger: Trigger::Command,
                    traceparent: None,
                    providers: &[model.id],
                    accept_gone: *accept_gone,
                };
                fan_out::request(db, request).await.unwrap();
            }
            Step::TakeRequests => {
                let taken = claim::take_requests(db, 10).await.unwrap();
                self.pushed(taken.unwrap_or_default());
            }
            Step::PushOverdue => {
                let overdue = claim::push_overdue(db, 10).await.unwrap();
                self.pushed(overdue);
            }
            Step::Deliver { job, worker } => self.deliver(*job, *worker).await,
            Step::Commit { begun } => self.commit(*begun).await?,
            Step::HandBack { begun } => {
                if let Some(begun) = pick(&self.begun, *begun) {
                    let before = self.world.provider(&begun.provider.name).await;
                    lease::hand_back(db, &begun.held).await.unwrap();
                    let after = self.world.provider(&begun.provider.name).await;
                    // Interrupted is not failed.
                    prop_assert_eq!(before.consecutive_crashes, after.consecutive_crashes);
                    prop_assert_eq!(before.consecutive_failures, after.consecutive_failures);
                }
            }
            Step::Silence { begun } => {
                if let Some(begun) = pick(&self.begun, *begun) {
                    self.silence(begun.held.run).await;
                }
            }
            Step::Renew { worker } => {
                let runs: Vec<Uuid> = self.begun.iter().map(|begun| begun.held.run).collect();
                lease::renew(db, &name(*worker), &runs, LEASE)
                    .await
                    .unwrap();
            }
            Step::Reap => {
                let reaped = claim::reap(db, 10).await.unwrap();
                self.pushed(reaped.takeovers);
            }
            Step::Close => {
                fan_out::close_finished(db, 0).await.unwrap();
            }
            Step::Pause { provider } => {
                provider::pause(db, &self.providers[*provider], "test", "ops")
                    .await
                    .unwrap();
            }
            Step::Resume { provider } => {
                provider::resume(db, &self.providers[*provider])
                    .await
                    .unwrap();
            }
        }
        self.check().await
    }

    fn pushed(&mut self, runs: Vec<claim::ToPush>) {
        self.jobs.extend(runs.into_iter().map(|run| run.id));
    }

    async fn all_due(&self) {
        let sql = format!(
            "UPDATE provider SET next_due_at = {}",
            self.world.in_seconds(-1)
        );
        self.world.execute(&sql, vec![]).await;
    }

    async fn silence(&self, run: Uuid) {
        let sql = format!(
            "UPDATE run SET lease_until = {} WHERE id = $1 AND state = 'running'",
            self.world.in_seconds(-1)
        );
        let statement = self.world.statement(&sql, vec![run.into()]);
        self.world.db.write.execute_raw(statement).await.unwrap();
    }

    async fn deliver(&mut self, job: usize, worker: usize) {
        let Some(job) = pick(&self.jobs, job).copied() else {
            return;
        };
        if let Some(begun) = self.world.begin_as(job, &name(worker)).await {
            self.begun.push(begun);
        }
    }

    /// Writes something new into the provider's one event. It must hold exactly if the run is still
    /// this worker's.
    async fn commit(&mut self, begun: usize) -> Result<(), TestCaseError> {
        let Some(begun) = pick(&self.begun, begun).cloned() else {
            return Ok(());
        };
        self.counter += 1;
        let provider = begun.provider.name.clone();
        let mut content = bare("1");
        content.title = format!("title {}", self.counter);
        let title = content.title.clone();
        let changes = if self.titles.contains_key(&provider) {
            replacing(&provider, [content])
        } else {
            creating(&provider, [content])
        };
        let owner = self.owner(&begun).await;
        let committed = commit(&self.world.db, &begun.held, &finish(&begun), &changes).await;
        match committed.unwrap() {
            Committed::Yes(_) => {
                prop_assert!(owner, "a worker that had lost its run has written");
                prop_assert!(
                    self.committed.insert(begun.held.run),
                    "a run has had two effects"
                );
                self.titles.insert(provider, title);
            }
            Committed::Fenced => prop_assert!(!owner, "the owner of a run was fenced off"),
        }
        Ok(())
    }

    async fn owner(&self, begun: &Begun) -> bool {
        let found = run::Entity::find_by_id(begun.held.run);
        let run = found.one(&self.world.db.write).await.unwrap().unwrap();
        run.state == run::State::Running
            && run.token == begun.held.token
            && run.worker.as_deref() == Some(begun.held.worker.as_str())
    }

    async fn check(&self) -> Result<(), TestCaseError> {
        let violations = invariants::violations(&self.world.db).await.unwrap();
        prop_assert_eq!(violations, vec![]);
        for (provider, title) in &self.titles {
            let stored = self.world.event(event::id(provider, "291", "1")).await;
            prop_assert_eq!(&stored.title, title, "a fenced worker has written");
        }
        Ok(())
    }

    /// Lets everything that is wrong come right by the means that the roles have: each provider must
    /// be synced again, and nothing may stay open.
    pub(super) async fn heal(&mut self) -> Result<(), TestCaseError> {
        let before = self.committed.len();
        for provider in self.providers.clone() {
            self.step(&Step::Resume {
                provider: provider_index(&provider),
            })
            .await?;
        }
        for _ in 0..4 {
            self.step(&Step::TakeRequests).await?;
            for begun in self.begun.clone() {
                self.silence(begun.held.run).await;
            }
            self.step(&Step::Reap).await?;
            for provider in self.providers.clone() {
                self.step(&Step::Resume {
                    provider: provider_index(&provider),
                })
                .await?;
            }
            self.step(&Step::Claim { limit: 100 }).await?;
            for job in self.jobs.clone() {
                if let Some(begun) = self.world.begin_as(job, &name(0)).await {
                    self.begun.push(begun);
                    self.commit(0).await?;
                }
            }
        }
        prop_assert!(
            self.committed.len() >= before + self.providers.len(),
            "a provider is stuck"
        );
        fan_out::close_finished(&self.world.db, -1_000)
            .await
            .unwrap();
        self.check().await?;
        let unsettled = invariants::unsettled(&self.world.db).await.unwrap();
        prop_assert_eq!(unsettled, vec![]);
        Ok(())
    }
}

fn name(worker: usize) -> String {
    format!("worker-{worker}")
}

fn provider_index(name: &str) -> usize {
    name.rsplit('-').next().unwrap().parse().unwrap()
}

/// One of the latest: what happens long after anyone cares about a run shows nothing new.
fn pick<T>(from: &[T], index: usize) -> Option<&T> {
    const LATEST: usize = 4;
    let back = index.checked_rem(from.len().min(LATEST))?;
    from.get(from.len() - 1 - back)
}
