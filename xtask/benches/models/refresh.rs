//! Asking providers, with a whole process, beside asking once for each model.

use crate::{
    Measured,
    binary::Binary,
    book::{Book, Sample, shown},
    options::Options,
};
use anyhow::{Context as _, Result, ensure};
use callsheet_testkit::{FakeModel, FakeProvider, Fault, Speaks, client};
use std::{net::SocketAddr, time::Duration};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const CASE: &str = "refresh";
const LIMIT: Duration = Duration::from_secs(1);

/// For so long every provider thinks before it answers.
const DELAY: Duration = Duration::from_millis(200);

const SPEAK: [Speaks; 5] =
    [Speaks::OpenRouter, Speaks::OpenAi, Speaks::Anthropic, Speaks::Vllm, Speaks::Generic];
const MODELS_OF_EACH: usize = 200;
const MODELS: usize = SPEAK.len() * MODELS_OF_EACH;

/// Asking for all of them in turn would take minutes, and each takes as long as the other.
const ASKED_IN_TURN: usize = 25;

const FIRST: &str = "1000 models of 5 providers into an empty store";
const AGAIN: &str = "the same again";
const IN_TURN: &str = "25 requests in turn, one for each model";

pub(crate) struct Refresh {
    binary: Binary,
    runtime: Runtime,
    providers: Vec<(String, FakeProvider)>,
    /// How many requests each provider got for the first refresh, and for the second.
    requests: Vec<[usize; 2]>,
}

impl Refresh {
    pub(crate) fn prepare(options: &Options) -> Result<Self> {
        let binary = Binary::find(options)?;
        // A thread of its own: this one waits for the process.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let mut providers = Vec::new();
        for speaks in SPEAK {
            let models = (0..MODELS_OF_EACH).map(|index| {
                FakeModel::new(&format!("maker/model-{index}"))
                    .context(131_072)
                    .max_output(16_384)
                    .prices("0.000003", "0.000015")
                    .tools()
            });
            let provider = runtime.block_on(FakeProvider::start(speaks, models));
            provider.fault(Fault::Delay(DELAY));
            providers.push((format!("bench-{}", speaks.as_str()), provider));
        }
        Ok(Self { binary, runtime, providers, requests: Vec::new() })
    }

    fn counts(&self) -> Vec<usize> {
        self.providers.iter().map(|(_, provider)| provider.request_count()).collect()
    }
}

impl Measured for Refresh {
    fn round(&mut self, book: &mut Book) -> Result<()> {
        let data = data(&self.providers)?;
        let before = self.counts();
        let first = self.binary.run(data.path(), &["model", "refresh", "--json"])?;
        let between = self.counts();
        let again = self.binary.run(data.path(), &["model", "refresh", "--json"])?;
        let after = self.counts();
        for (what, ran) in [("the first", &first), ("the second", &again)] {
            let said = ran.json()?;
            ensure!(said["refreshed"] == MODELS, "{what} refresh: {} models", said["refreshed"]);
        }
        let listed = self.binary.run(data.path(), &["model", "list", "--json"])?.json()?;
        let listed = listed.as_array().map_or(0, Vec::len);
        ensure!(listed == MODELS, "{listed} of {MODELS} models are in the store");
        book.add_limited(CASE, FIRST, LIMIT, first.sample);
        book.add_limited(CASE, AGAIN, LIMIT, again.sample);
        self.requests = before
            .iter()
            .zip(&between)
            .zip(&after)
            .map(|((before, between), after)| [between - before, after - between])
            .collect();

        let url = self.providers[0].1.url();
        let address: SocketAddr =
            url.strip_prefix("http://").context("an address")?.parse().context("an address")?;
        let (sample, asked) = Sample::of(|| {
            self.runtime.block_on(async {
                for _ in 0..ASKED_IN_TURN {
                    let reply = client::request(address, "GET", "/v1/models", &[], &[]).await?;
                    ensure!(reply.status == 200, "a provider answers {}", reply.status);
                    // Who asks in this way looks for its one model in the whole list.
                    let _: serde_json::Value = serde_json::from_slice(&reply.body)?;
                }
                Ok(())
            })
        });
        asked?;
        book.add(CASE, IN_TURN, sample);
        Ok(())
    }

    fn details(&self, book: &Book) -> String {
        let mut text = format!(
            "Each provider has {MODELS_OF_EACH} models and takes {} to answer.\n\n\
             | provider | requests for the first refresh | for the second |\n|---|--:|--:|\n",
            shown(DELAY)
        );
        for ((name, _), [first, second]) in self.providers.iter().zip(&self.requests) {
            text.push_str(&format!("| {name} | {first} | {second} |\n"));
        }
        if let (Some(in_turn), Some(first)) = (book.median(CASE, IN_TURN), book.median(CASE, FIRST))
        {
            let all = in_turn * u32::try_from(MODELS / ASKED_IN_TURN).unwrap_or(u32::MAX);
            text.push_str(&format!(
                "\nOne request for each model, in turn, would take {} for {MODELS} models, which is \
                 {:.0}× as long: measured over {ASKED_IN_TURN} of them and multiplied.",
                shown(all),
                all.as_secs_f64() / first.as_secs_f64(),
            ));
        }
        text
    }
}

/// Makes an empty data directory with a config file for these providers.
fn data(providers: &[(String, FakeProvider)]) -> Result<TempDir> {
    let folder = tempfile::tempdir()?;
    let tables = providers.iter().map(|(name, provider)| provider.config(name));
    std::fs::write(folder.path().join("callsheet.toml"), tables.collect::<String>())?;
    Ok(folder)
}
