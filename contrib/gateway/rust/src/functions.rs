//! The two functions of scram_ext, called on one connection.

use tokio::{sync::Mutex, task::JoinSet};
use tokio_postgres::{Client, Config, Error, NoTls, Row, types::ToSql};

use crate::protocol::{Login, require};

const START: &str = "SELECT server_first, state, error FROM scram.role_handshake_start($1, role => $2::text::name,
    mechanism => $3, channel_binding_type => CASE WHEN $4::bytea IS NOT NULL THEN 'tls-server-end-point' END,
    channel_binding_data => $4)";
const FINISH: &str = "SELECT accepted, server_final, client_key, server_key
    FROM scram.role_handshake_finish_passthrough($1, $2)";

/// A client that has proved who it is.
pub(crate) struct Accepted {
    pub(crate) server_final: String,
    pub(crate) client_key: Vec<u8>,
    pub(crate) server_key: Vec<u8>,
}

pub(crate) struct Functions {
    dsn: Config,
    connection: Mutex<Option<Connection>>,
}

/// A connection and its task, which ends when it is dropped.
type Connection = (Client, JoinSet<Result<(), Error>>);

impl Functions {
    /// Connects, so that a wrong address shows at once.
    pub(crate) async fn connect(dsn: Config) -> Login<Self> {
        let functions = Self { dsn, connection: Mutex::default() };
        functions.call("SELECT 1", &[]).await?;
        Ok(functions)
    }

    /// Returns server-first and the state.
    pub(crate) async fn start(
        &self,
        client_first: &str,
        user: &str,
        mechanism: &str,
        binding: Option<&[u8]>,
    ) -> Login<(String, Vec<u8>)> {
        let row = self.call(START, &[&client_first, &user, &mechanism, &binding]).await?;
        require(row.get::<_, Option<&str>>("error").is_none())?;
        Ok((row.get("server_first"), row.get("state")))
    }

    pub(crate) async fn finish(&self, state: &[u8], client_final: &str) -> Login<Option<Accepted>> {
        let row = self.call(FINISH, &[&state, &client_final]).await?;
        let accepted = || Accepted {
            server_final: row.get("server_final"),
            client_key: row.get("client_key"),
            server_key: row.get("server_key"),
        };
        Ok(row.get::<_, bool>("accepted").then(accepted))
    }

    async fn call(&self, query: &str, parameters: &[&(dyn ToSql + Sync)]) -> Login<Row> {
        let mut connection = self.connection.lock().await;
        let (client, task) = match connection.take().filter(|(client, _)| !client.is_closed()) {
            Some(connected) => connected,
            None => {
                let (client, connected) = self.dsn.connect(NoTls).await?;
                let mut task = JoinSet::new();
                task.spawn(connected);
                (client, task)
            }
        };
        let row = client.query_one(query, parameters).await;
        // A call that took too long ends before this and closes its connection, because no later one would be answered.
        *connection = Some((client, task));
        Ok(row?)
    }
}
