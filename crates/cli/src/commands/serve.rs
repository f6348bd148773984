//! `callsheet serve`

use crate::{args::Serve, context::Context, failure::Failure, logs};
use anyhow::anyhow;
use callsheet_server::{App, Daemon, DaemonError, DataDir, DataDirError};
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};

pub(super) fn run(context: &Context, serve: &Serve) -> Result<(), Failure> {
    if context.global.offline {
        return Err(Failure::usage("a daemon cannot be --offline: it is there to be called"));
    }
    let config = context.config_with_secrets(serve.listen)?;
    logs::init(&config.log);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let data_dir = DataDir::take(&context.data_dir).map_err(hint_data_dir)?;
        let daemon = Daemon::bind(config, data_dir, serve.demo).await.map_err(hint_start)?;
        let journal = logs::JournalWriter::start(Arc::clone(&daemon.app().journal))?;
        daemon.app().set_source(context.source(serve.listen));
        let reloads = tokio::spawn(reload_on_hangup(Arc::clone(daemon.app())));
        announce(context, &daemon, serve.demo)?;
        let cut = daemon.run(told_to_stop()?).await?;
        reloads.abort();
        drop(journal);
        if cut > 0 {
            return Err(Failure::new(anyhow!(
                "{cut} connections were still open after server.drain_timeout and were cut off"
            )));
        }
        Ok(())
    })
}

fn announce(context: &Context, daemon: &Daemon, demo: bool) -> Result<(), Failure> {
    let address = daemon.address();
    super::print(&format!("callsheet is listening on http://{address}\n"))?;
    if demo && !context.global.quiet {
        super::print(&format!(
            r#"
Two demo backends are in service. Try:

  curl http://{address}/v1/chat/completions -d '{{"model": "demo", "messages": [{{"role": "user", "content": "hello"}}]}}'
  curl -N http://{address}/v1/chat/completions -d '{{"model": "demo", "stream": true, "messages": [{{"role": "user", "content": "hello"}}]}}'

With "fail" in the message the first backend breaks, and the second answers.
"#
        ))?;
    }
    Ok(())
}

/// Resolves when somebody asks the process to stop.
fn told_to_stop() -> Result<impl Future<Output = ()>, Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Takes the configuration anew at each SIGHUP, all of it or none.
async fn reload_on_hangup(app: Arc<App>) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        let app = Arc::clone(&app);
        // What became of it is in the log.
        let _ = tokio::task::spawn_blocking(move || app.reload_from_source(false)).await;
    }
}

fn hint_data_dir(error: DataDirError) -> Failure {
    let is_taken = matches!(error, DataDirError::Taken { .. });
    let failure = Failure::new(error);
    if is_taken {
        failure.hint("stop that one, or give this one another --data-dir and --listen")
    } else {
        failure
    }
}

fn hint_start(error: DaemonError) -> Failure {
    let hint = match &error {
        DaemonError::Listen { address, .. } => Some(format!(
            "is another process on port {}? --listen {}:0 takes a free one",
            address.port(),
            address.ip()
        )),
        _ => None,
    };
    let failure = Failure::new(error);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}
