-- Run once, when the container makes its cluster, in the database that cron.database_name names.
CREATE EXTENSION pg_cron;
CREATE EXTENSION scram_ext;
SELECT scram.load_wordlist();
SELECT scram.schedule_audit();
