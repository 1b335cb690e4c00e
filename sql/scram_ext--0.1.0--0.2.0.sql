-- Run by ALTER EXTENSION scram_ext UPDATE.
\echo Use "ALTER EXTENSION scram_ext UPDATE TO '0.2.0'" to load this file. \quit
