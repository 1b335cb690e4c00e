-- What the checks found, as findings: for scram.audit() of what is there now, for scram.run_audit() of what the slices have
-- stored.

-- The findings on a source. live: judged now, as scram.audit() shows them. Else as the slices have stored them, and "part"
-- says which: what was found in single slices ("finding"), or what secrets have in common ("secret").
--
-- context is the end of the evidence, and facts is what was judged: an acceptance holds for other rows of the same kind.
--
-- Shared salts and verifiers are found here, not in Rust, because PostgreSQL can sort sources that do not fit into memory.
-- Internal.
CREATE FUNCTION scram_internal.source_findings(source text, live boolean, part text)
RETURNS TABLE (source text, subject text, check_id text, severity text, evidence text, context text, facts text)
LANGUAGE sql STABLE ROWS 1000
SET search_path = pg_catalog, pg_temp
SET enable_hashagg = off
SET enable_nestloop = off
AS $$
    WITH part AS MATERIALIZED (
        SELECT s.part, s.subject, s.check_id, s.severity, s.kind, s.rows, s.evidences, s.names, s.context, s.digest, s.salt_tag,
               s.verifier_tag, s.iterations
        FROM scram_internal.scan_source($1, true, NULL) s
        WHERE $2 AND s.part IN ('finding', 'secret', 'kind')
      UNION ALL
        SELECT 'finding', f.subject, f.check_id, f.severity, f.kind, f.rows, f.evidences, f.names, f.context, NULL, NULL, NULL, NULL
        FROM scram_internal.slice_finding f
        JOIN scram_internal.source_slice s ON s.slice_id = f.slice_id
        WHERE NOT $2 AND $3 = 'finding' AND s.source = $1
      UNION ALL
        SELECT 'kind', NULL, NULL, NULL, k.kind, k.subjects, NULL, NULL, NULL, NULL, NULL, NULL, k.iterations
        FROM scram_internal.slice_kind k
        JOIN scram_internal.source_slice s ON s.slice_id = k.slice_id
        WHERE NOT $2 AND $3 = 'finding' AND s.source = $1 AND $1 <> 'role'
    ), secret AS NOT MATERIALIZED (
        SELECT p.digest, p.salt_tag, p.verifier_tag, p.subject, NULL::integer AS slice_id
        FROM part p
        WHERE p.part = 'secret' AND p.salt_tag IS NOT NULL
      UNION ALL
        SELECT t.digest, t.salt_tag, t.verifier_tag, r.subject, t.slice_id
        FROM scram_internal.stored_secret t
        JOIN scram_internal.role_secret r ON r.digest = t.digest
        WHERE NOT $2 AND $3 = 'secret' AND $1 = 'role' AND t.salt_tag IS NOT NULL
      UNION ALL
        SELECT t.digest, t.salt_tag, t.verifier_tag, NULL, t.slice_id
        FROM scram_internal.stored_secret t
        WHERE NOT $2 AND $3 = 'secret' AND $1 <> 'role' AND t.salt_tag IS NOT NULL
            AND t.slice_id = ANY (ARRAY(SELECT s.slice_id FROM scram_internal.source_slice s WHERE s.source = $1))
    ), salt AS MATERIALIZED (
        -- One sort serves both groupings, and takes the same time whether a million secrets share nothing or one salt.
        -- Verifiers that are equal have the same salt.
        SELECT v.salt_tag, sum(v.members) AS members, count(v.verifier_tag) AS verifiers,
               sum(v.members) FILTER (WHERE v.members > 1 AND v.verifier_tag IS NOT NULL) AS verifier_members,
               count(*) FILTER (WHERE v.members > 1 AND v.verifier_tag IS NOT NULL) AS shared_verifiers,
               min(v.verifier_tag) FILTER (WHERE v.members > 1) AS first_verifier
        FROM (
            SELECT s.salt_tag, s.verifier_tag, count(*) AS members
            FROM secret s
            GROUP BY s.salt_tag, s.verifier_tag
        ) v
        GROUP BY v.salt_tag
        HAVING sum(v.members) > 1
    ), sharing AS (
        -- Members that share the whole verifier are for that check alone.
        SELECT 'salt_shared' AS check_id, sum(s.members)::bigint AS members, count(*) AS tags,
               ARRAY(SELECT f.salt_tag FROM salt f WHERE f.verifiers > 1 ORDER BY f.salt_tag LIMIT 20) AS firsts
        FROM salt s
        WHERE s.verifiers > 1
        HAVING count(*) > 0
      UNION ALL
        SELECT 'verifier_shared', sum(s.verifier_members)::bigint, sum(s.shared_verifiers)::bigint,
               ARRAY(SELECT f.first_verifier FROM salt f WHERE f.shared_verifiers > 0 ORDER BY f.first_verifier LIMIT 20)
        FROM salt s
        WHERE s.shared_verifiers > 0
        HAVING count(*) > 0
    ), member AS MATERIALIZED (
        SELECT t.check_id, t.tag, t.digest, t.subject, count(*) OVER (PARTITION BY t.check_id, t.tag) AS members,
               row_number() OVER (PARTITION BY t.check_id, t.tag ORDER BY t.subject, t.digest) AS number
        FROM (
            SELECT 'salt_shared' AS check_id, s.salt_tag AS tag, s.digest, s.subject
            FROM secret s
            JOIN salt a ON a.salt_tag = s.salt_tag AND a.verifiers > 1
            WHERE $1 = 'role'
          UNION ALL
            SELECT 'verifier_shared', s.verifier_tag, s.digest, s.subject
            FROM secret s
            WHERE $1 = 'role' AND s.verifier_tag IS NOT NULL
        ) t
    ), firsts AS (
        SELECT m.check_id, m.tag, array_agg(m.subject ORDER BY m.number) AS subjects
        FROM member m
        WHERE m.number <= 21 AND m.members > 1
        GROUP BY m.check_id, m.tag
    ), sample AS MATERIALIZED (
        SELECT a.check_id, m.digest, m.subject, m.slice_id
        FROM sharing a
        CROSS JOIN LATERAL (
            SELECT s.digest, s.subject, s.slice_id
            FROM secret s
            WHERE CASE a.check_id WHEN 'salt_shared' THEN s.salt_tag ELSE s.verifier_tag END = ANY (a.firsts)
            ORDER BY s.digest
            LIMIT 20
        ) m
        WHERE $1 <> 'role'
    ), named AS (
        -- Stored secrets have no names. Ask the slices for the names of the few that the evidence shows.
        SELECT m.check_id, m.subject FROM sample m WHERE m.subject IS NOT NULL
      UNION ALL
        SELECT a.check_id, n.subject
        FROM (
            SELECT m.check_id, m.slice_id, array_agg(m.digest) AS digests
            FROM sample m
            WHERE m.subject IS NULL
            GROUP BY m.check_id, m.slice_id
        ) a
        JOIN scram_internal.source_slice s ON s.slice_id = a.slice_id AND s.part = 'blocks'
        CROSS JOIN LATERAL scram_internal.names($1, s.relation, s.block, a.digests) n
    ), what AS (
        VALUES ('salt_shared', 'salt'), ('verifier_shared', 'verifier')
    ), single AS (
        SELECT p.check_id, p.severity, p.subject, min(p.kind) AS kind, sum(p.rows) AS rows, min(p.evidences[1]) AS evidence,
               coalesce(min(p.context), '') AS context,
               row_number() OVER (PARTITION BY p.check_id ORDER BY p.subject COLLATE "C") <= CASE
                   WHEN $1 IN ('role', 'server') OR p.check_id = 'source_unreadable' THEN 2147483647
                   ELSE current_setting('scram.audit_rows_listed')::integer
               END AS is_listed
        FROM part p
        WHERE p.part = 'finding' AND p.subject IS NOT NULL
        GROUP BY p.check_id, p.severity, p.subject
    ), counted AS (
        SELECT p.check_id, p.severity, p.kind, p.rows, p.evidences, p.names
        FROM part p
        WHERE p.part = 'finding' AND p.subject IS NULL
      UNION ALL
        SELECT s.check_id, s.severity, s.kind, s.rows, ARRAY[s.evidence], ARRAY[s.subject]
        FROM single s
        WHERE NOT s.is_listed
    )
    -- scram.handshake_start() answers with one count for every unknown name.
    SELECT $1, 'rows', k.check_id, k.severity,
           format('%s row%s: iteration count %s; scram.handshake_start() answers %s for an unknown user', sum(d.rows),
                  CASE WHEN sum(d.rows) > 1 THEN 's' ELSE '' END,
                  string_agg(format('%s (%s)', d.iterations, d.rows), ', ' ORDER BY d.number) FILTER (WHERE d.number <= 10)
                      || CASE WHEN count(*) > 10 THEN ' and others' ELSE '' END,
                  scram_internal.target_iterations()),
           '', ''
    FROM (
        SELECT p.iterations, sum(p.rows) AS rows, row_number() OVER (ORDER BY sum(p.rows) DESC, p.iterations) AS number
        FROM part p
        WHERE p.part = 'kind' AND $1 <> 'role' AND p.iterations <> scram_internal.target_iterations()
            -- Kafka's brokers answer by themselves.
            AND NOT EXISTS (SELECT FROM scram.audit_source a WHERE a.name = $1 AND a.client IS NOT NULL)
            AND p.kind IN ('scram-sha-1', 'scram-sha-256', 'scram-sha-512', 'scram-lax')
        GROUP BY p.iterations
    ) d
    JOIN scram.audit_checks() k ON k.check_id = 'iterations_reveal_role'
    GROUP BY k.check_id, k.severity
  UNION ALL
    SELECT $1, s.subject, s.check_id, s.severity,
           s.evidence || CASE WHEN s.rows > 1 THEN format(' (and %s more rows of this name)', s.rows - 1) ELSE '' END
               || s.context,
           s.context,
           CASE WHEN $1 NOT IN ('role', 'server') AND s.check_id IN ('salt_shared', 'verifier_shared') THEN '' ELSE s.evidence END
    FROM single s
    WHERE s.is_listed AND (s.check_id <> 'source_unreadable' OR $1 IN ('role', 'server'))
  UNION ALL
    SELECT 'server', format('source %I, partition %s', $1, s.subject), s.check_id, s.severity,
           format('%s is a foreign table', s.subject), '', ''
    FROM single s
    WHERE s.check_id = 'source_unreadable' AND $1 NOT IN ('role', 'server')
  UNION ALL
    SELECT $1,
           -- What is stored keeps its subject when a second row comes.
           CASE WHEN $2 AND sum(c.rows) = 1 THEN min(c.names[1])
                ELSE CASE WHEN bool_or(s.check_id IS NOT NULL) THEN 'further ' ELSE '' END || c.kind || ' rows'
           END,
           c.check_id, c.severity,
           CASE WHEN $2 AND sum(c.rows) = 1 THEN min(c.evidences[1])
                ELSE scram_internal.counted_evidence(
                    sum(c.rows)::bigint,
                    (SELECT array_agg(DISTINCT e.evidence) FROM counted o, unnest(o.evidences) AS e(evidence)
                     WHERE (o.check_id, o.kind) = (c.check_id, c.kind)),
                    (SELECT array_agg(DISTINCT n.name) FROM counted o, unnest(o.names) AS n(name)
                     WHERE (o.check_id, o.kind) = (c.check_id, c.kind)))
           END,
           '', ''
    FROM counted c
    LEFT JOIN (SELECT DISTINCT s.check_id FROM single s) s ON s.check_id = c.check_id
    GROUP BY c.check_id, c.severity, c.kind
  UNION ALL
    -- Each role has a finding of its own, which names the others.
    SELECT $1, m.subject, m.check_id, k.severity,
           format('same %s as %s%s', w.column2,
                  (SELECT string_agg(format('"%s"', o.subject), ', ' ORDER BY o.number)
                   FROM (SELECT u.subject, u.number FROM unnest(f.subjects) WITH ORDINALITY AS u(subject, number)
                         WHERE u.number <> m.number ORDER BY u.number LIMIT 20) o),
                  CASE WHEN m.members > 21 THEN format(' and %s more', m.members - 21) ELSE '' END),
           '', ''
    FROM member m
    JOIN firsts f ON (f.check_id, f.tag) = (m.check_id, m.tag)
    JOIN what w ON w.column1 = m.check_id
    JOIN scram.audit_checks() k ON k.check_id = m.check_id
  UNION ALL
    SELECT $1, 'rows', s.check_id, k.severity,
           scram_internal.counted_evidence(
               s.members,
               ARRAY[format('%s %s%s in common', s.tags, w.column2, CASE WHEN s.tags > 1 THEN 's' ELSE '' END)],
               (SELECT array_agg(DISTINCT n.subject) FROM named n WHERE n.check_id = s.check_id)),
           '', ''
    FROM sharing s
    JOIN what w ON w.column1 = s.check_id
    JOIN scram.audit_checks() k ON k.check_id = s.check_id
    WHERE $1 <> 'role'
$$;

-- The evidence of a finding that counts rows: up to four different evidences and 20 names, the smallest. Internal.
CREATE FUNCTION scram_internal.counted_evidence(rows bigint, evidences text[], names text[]) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%s row%s: %s%s', $1, CASE WHEN $1 > 1 THEN 's' ELSE '' END,
        (SELECT string_agg(e.evidence, '; ' ORDER BY e.number)
         FROM (SELECT CASE u.number WHEN 5 THEN 'and others' ELSE u.evidence END AS evidence, u.number
               FROM (SELECT s.evidence, row_number() OVER (ORDER BY s.evidence COLLATE "C") AS number
                     FROM unnest($2) AS s(evidence)) u
               WHERE u.number <= 5) e),
        (SELECT format(' (%s%s)', string_agg(format('"%s"', n.name), ', ' ORDER BY n.name COLLATE "C"),
                       CASE WHEN $1 > count(*) THEN ', ...' ELSE '' END)
         FROM (SELECT s.name FROM unnest($3) AS s(name) ORDER BY s.name COLLATE "C" LIMIT 20) n))
$$;

-- The finding on a source that cannot be read. The message is the extension's own: no code of another role runs. Internal.
CREATE FUNCTION scram_internal.unreadable_finding(source text, failure text)
RETURNS TABLE (source text, subject text, check_id text, severity text, evidence text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'server', 'source ' || quote_ident($1), c.check_id, c.severity, $2
    FROM scram.audit_checks() c
    WHERE c.check_id = 'source_unreadable'
$$;

-- What to say about slices of a source that cannot be read; NULL if all can. Internal.
CREATE FUNCTION scram_internal.failed_slices(source text) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT format('%s of %s slices cannot be read, and what was found in them stands: %s',
                  count(s.failure), count(*), min(s.failure))
    FROM scram_internal.source_slice s
    WHERE s.source = $1 AND s.part = 'blocks'
    HAVING count(s.failure) > 0
$$;

-- How many roles can read the stored secrets of each source: one notice a source. The owner and superusers are expected to.
-- Internal.
CREATE FUNCTION scram_internal.source_readers()
RETURNS TABLE (source text, subject text, check_id text, severity text, evidence text)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
    SELECT 'server', 'source ' || quote_ident(s.name), 'hash_readable', 'notice',
           format('%s role%s can read column "%s" of "%s"', count(*), CASE WHEN count(*) > 1 THEN 's' END, a.attname, c.relname)
    FROM scram.audit_source s
    JOIN pg_class c ON c.oid = s.relation
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = s.secret_column AND a.attnum > 0
    JOIN pg_roles r ON NOT r.rolsuper AND r.oid >= 16384 AND r.oid <> c.relowner
        AND has_schema_privilege(r.oid, c.relnamespace, 'USAGE')
        AND has_column_privilege(r.oid, c.oid, a.attnum, 'SELECT')
    GROUP BY s.name, a.attname, c.relname
$$;

COMMENT ON FUNCTION scram_internal.source_findings(text, boolean, text) IS 'internal to scram.audit(): the findings on a source';
COMMENT ON FUNCTION scram_internal.counted_evidence(bigint, text[], text[]) IS
    'internal to scram.audit(): the evidence of a finding that counts rows';
COMMENT ON FUNCTION scram_internal.failed_slices(text) IS 'internal to scram.run_audit(): what to say about slices that cannot be read';
COMMENT ON FUNCTION scram_internal.target_iterations() IS 'internal to scram.audit(): the count of answers to unknown users';
COMMENT ON FUNCTION scram_internal.source_readers() IS
    'internal to scram.audit(): how many roles can read the secrets of each source';
COMMENT ON FUNCTION scram_internal.unreadable_finding(text, text) IS 'internal to scram.audit(): the finding on a source that fails';
