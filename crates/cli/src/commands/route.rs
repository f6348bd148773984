//! `callsheet route`

use super::{print, print_json};
use crate::{
    api::{Api, Needs},
    args::Route,
    context::Context,
    failure::Failure,
    table::Table,
};
use anyhow::anyhow;
use callsheet_fleet::{Outcome, Verdict};
use callsheet_server::{RouteReport, RouteStep};
use callsheet_types::encoded;
use http::Method;

pub(super) async fn run(context: &Context, question: &Route) -> Result<(), Failure> {
    let api = Api::find(context, Needs::Fleet).await?;
    let mut path = format!("/api/v1/route?model={}", encoded(&question.model));
    if !question.needs.is_empty() {
        path.push_str(&format!("&needs={}", encoded(&question.needs.join(","))));
    }
    if let Some(tokens) = question.min_context {
        path.push_str(&format!("&min_context={tokens}"));
    }
    let report: RouteReport = api.send(Method::GET, &path, None::<&()>).await?;
    if context.global.json {
        print_json(&report)?;
    } else {
        for step in &report.steps {
            print(&told(&report, step))?;
        }
    }
    let is_served = |step: &RouteStep| !matches!(step.explanation.outcome, Outcome::Refuse(_));
    if report.steps.iter().any(is_served) {
        Ok(())
    } else {
        Err(Failure::new(anyhow!("nobody can serve {:?} now", report.requested)))
    }
}

fn told(report: &RouteReport, step: &RouteStep) -> String {
    let explanation = &step.explanation;
    let outcome = match &explanation.outcome {
        Outcome::To(backend) => format!("goes to {backend}"),
        Outcome::Wait => "waits for a backend with room".to_owned(),
        Outcome::Refuse(refusal) => format!("is refused: {refusal}"),
    };
    let name = match (&report.requested, &step.model) {
        (asked, model) if asked == model => model.clone(),
        (asked, model) => format!("{asked} → {model}"),
    };
    let mut table = Table::new(&["BACKEND", "VERDICT", "COST", "PENDING", "LATENCY"]);
    for candidate in &explanation.candidates {
        let is_chosen = matches!(candidate.verdict, Verdict::Chosen | Verdict::ChosenAsTrial);
        table.row([
            candidate.backend.clone(),
            if is_chosen {
                format!("* {}", candidate.verdict)
            } else {
                candidate.verdict.to_string()
            },
            candidate.cost.map_or_else(|| "-".to_owned(), |cost| format!("{cost:.1}")),
            candidate.pending.to_string(),
            candidate.latency_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms} ms")),
        ]);
    }
    format!("{name} {outcome} ({})\n\n{table}\n", explanation.strategy)
}
