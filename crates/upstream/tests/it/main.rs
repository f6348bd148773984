//! The client against real sockets, against another client, and against odd answers.

mod answers;
mod backend;
mod corpus;
mod differential;
mod failure;
mod reuse;
mod splits;
mod tls;
mod upload;
