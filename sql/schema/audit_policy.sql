-- What a site decides about checks: which of them are off for whom, and how severe a finding is.

CREATE TABLE scram.audit_policy (
    policy_id bigserial PRIMARY KEY,
    -- NULL in these three: any.
    check_id text,
    source text,
    -- A pattern of LIKE, or the members of a role.
    subject text CHECK (octet_length(subject) <= 1024),
    action text NOT NULL CHECK (action IN ('off', 'critical', 'warning', 'notice')),
    until timestamptz,
    note text CHECK (octet_length(note) <= 8192)
);
SELECT pg_catalog.pg_extension_config_dump('scram.audit_policy', '');
SELECT pg_catalog.pg_extension_config_dump('scram.audit_policy_policy_id_seq', '');

-- What each policy hid in the last reading of a source.
CREATE TABLE scram_internal.hidden_finding (
    source text NOT NULL,
    policy_id bigint NOT NULL,
    check_id text NOT NULL,
    findings bigint NOT NULL,
    PRIMARY KEY (source, policy_id, check_id)
);

-- Checks a row. A role that does not exist is told and not refused, because a restore may come before the role. Internal.
CREATE FUNCTION scram_internal.require_policy() RETURNS trigger
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    prefix CONSTANT text := 'member of ';
    member_of text;
BEGIN
    IF NEW.action NOT IN ('off', 'critical', 'warning', 'notice') THEN
        RAISE check_violation USING
            MESSAGE = format('invalid action of a policy: "%s"', NEW.action),
            HINT = 'Actions are "off", "critical", "warning" and "notice".';
    END IF;
    IF NOT EXISTS (SELECT FROM scram.audit_checks() c WHERE c.check_id = NEW.check_id) AND NEW.check_id IS NOT NULL THEN
        RAISE undefined_object USING
            MESSAGE = format('check "%s" does not exist', NEW.check_id),
            HINT = 'scram.audit_checks() lists the checks.';
    END IF;
    IF starts_with(NEW.subject, prefix) THEN
        member_of := substr(NEW.subject, length(prefix) + 1);
        IF octet_length(member_of) NOT BETWEEN 1 AND 63 THEN
            RAISE invalid_parameter_value USING
                MESSAGE = 'invalid name of a role in the subject of a policy',
                DETAIL = format('The name after "member of" has %s bytes.', octet_length(member_of));
        END IF;
        IF coalesce(NEW.source, 'role') <> 'role' THEN
            RAISE invalid_parameter_value USING
                MESSAGE = format('source "%s" has no members of a role', NEW.source),
                HINT = 'Leave "source" out, or set it to "role".';
        END IF;
        IF NOT EXISTS (SELECT FROM pg_roles r WHERE r.rolname = member_of) THEN
            RAISE WARNING USING MESSAGE = format('role "%s" does not exist', member_of);
        END IF;
    ELSIF right(regexp_replace(NEW.subject, '\\.', '', 'g'), 1) = '\' THEN
        -- LIKE would raise where a subject is long enough, in the middle of a run.
        RAISE invalid_escape_sequence USING MESSAGE = 'the subject of a policy must not end with an escape character';
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER audit_policy_check BEFORE INSERT OR UPDATE ON scram.audit_policy
FOR EACH ROW EXECUTE FUNCTION scram_internal.require_policy();

-- The policies in force, and one for each check that is off unless a policy names it. rank: the lowest one that fits decides.
-- A subject counts most, a name more than a pattern and a pattern more than a group; then the source, then the check. Of
-- equal ones the newest decides. members: the roles, where the subject is a group. Internal.
CREATE FUNCTION scram_internal.policies()
RETURNS TABLE (policy_id bigint, check_id text, source text, subject text, members text[], action text, rank integer)
LANGUAGE sql STABLE ROWS 10
SET search_path = pg_catalog, pg_temp
AS $$
    WITH RECURSIVE policy AS MATERIALIZED (
        -- Among rows about the same, the newest alone can decide, so that any number of them costs nothing.
        SELECT DISTINCT ON (p.check_id, p.source, p.subject)
               p.policy_id, p.check_id, p.source, p.subject, p.action,
               CASE WHEN starts_with(p.subject, 'member of ') THEN substr(p.subject, 11) END AS member_of
        FROM scram.audit_policy p
        WHERE p.until IS NULL OR p.until > statement_timestamp()
        ORDER BY p.check_id, p.source, p.subject, p.policy_id DESC
    ), member AS (
        SELECT r.oid AS group_role, r.oid AS role
        FROM pg_roles r
        WHERE r.rolname IN (SELECT p.member_of FROM policy p)
      UNION
        -- Not pg_has_role(), which counts superusers as members of every role.
        SELECT m.group_role, a.member
        FROM member m
        JOIN pg_auth_members a ON a.roleid = m.role
    ), members AS MATERIALIZED (
        -- Once for each group, because several policies may name it.
        SELECT g.rolname::text AS member_of, array_agg(r.rolname::text) AS names
        FROM member m
        JOIN pg_roles g ON g.oid = m.group_role
        JOIN pg_roles r ON r.oid = m.role
        GROUP BY g.rolname
    )
    SELECT p.policy_id, p.check_id, p.source, p.subject,
           CASE WHEN p.member_of IS NOT NULL THEN coalesce(m.names, '{}') END,
           p.action,
           CASE WHEN p.subject IS NULL THEN 12
                WHEN p.member_of IS NOT NULL THEN 8
                WHEN regexp_replace(p.subject, '\\.', '', 'g') ~ '[%_]' THEN 4
                ELSE 0
           END + CASE WHEN p.source IS NULL THEN 2 ELSE 0 END + CASE WHEN p.check_id IS NULL THEN 1 ELSE 0 END
    FROM policy p
    LEFT JOIN members m ON m.member_of = p.member_of
  UNION ALL
    SELECT 0, c.check_id, NULL, NULL, NULL, 'off', 16
    FROM scram_internal.checks_off() c
$$;

-- The policy that decides about each of these findings; a finding that none decides about is left out. Internal.
CREATE FUNCTION scram_internal.decide(sources text[], subjects text[], check_ids text[])
RETURNS TABLE (number bigint, policy_id bigint, action text)
LANGUAGE sql STABLE ROWS 1000
SET search_path = pg_catalog, pg_temp
AS $$
    WITH policy AS MATERIALIZED (
        SELECT p.*, ARRAY(SELECT c.check_id FROM scram_internal.checks_off() c) AS checks_off
        FROM scram_internal.policies() p
    )
    SELECT DISTINCT ON (f.number) f.number, p.policy_id, p.action
    FROM unnest(sources, subjects, check_ids) WITH ORDINALITY AS f(source, subject, check_id, number)
    JOIN policy p ON coalesce(p.check_id = f.check_id, p.action = 'off' OR f.check_id <> ALL (p.checks_off))
        AND coalesce(p.source = f.source, true)
        AND CASE
            WHEN p.subject IS NULL THEN true
            WHEN p.members IS NOT NULL THEN f.source = 'role' AND f.subject = ANY (p.members)
            ELSE f.subject LIKE p.subject
        END
    -- A name with an underscore is a pattern too, but one that is meant as the name.
    ORDER BY f.number, CASE WHEN p.subject = f.subject THEN p.rank % 4 ELSE p.rank END, p.policy_id DESC
$$;

-- Applies the policies to the findings of a step and to those that stand. A finding whose check is off is not judged: it is
-- neither found nor fixed. Internal.
CREATE FUNCTION scram_internal.apply_policy(this_source text, guesses_only boolean) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found record;
BEGIN
    SELECT array_agg(f.source) AS sources, array_agg(f.subject) AS subjects, array_agg(f.check_id) AS check_ids,
           array_agg(f.ctid) AS places
    INTO found
    FROM scram_internal.step_finding f;
    WITH decided AS MATERIALIZED (
        SELECT found.places[d.number] AS place, d.policy_id, d.action
        FROM scram_internal.decide(found.sources, found.subjects, found.check_ids) d
    ), weighed AS (
        UPDATE scram_internal.step_finding f SET severity = d.action
        FROM decided d
        WHERE f.ctid = d.place AND d.action <> 'off'
    ), hidden AS (
        DELETE FROM scram_internal.step_finding f
        USING decided d
        WHERE f.ctid = d.place AND d.action = 'off'
        RETURNING d.policy_id, f.check_id
    ), forgotten AS (
        DELETE FROM scram_internal.hidden_finding h WHERE h.source = this_source AND NOT guesses_only
    )
    INSERT INTO scram_internal.hidden_finding AS k (source, policy_id, check_id, findings)
    SELECT this_source, h.policy_id, h.check_id, count(*)
    FROM hidden h
    -- The checks that are off by default hide nothing that a policy of the site has hidden.
    WHERE h.policy_id > 0
    GROUP BY h.policy_id, h.check_id
    ON CONFLICT (source, policy_id, check_id) DO UPDATE SET findings = excluded.findings;

    SELECT array_agg(f.source) AS sources, array_agg(f.subject) AS subjects, array_agg(f.check_id) AS check_ids,
           array_agg(f.finding_id) AS places
    INTO found
    FROM scram.audit_finding f
    WHERE f.decided_by = this_source AND f.status <> 'fixed';
    UPDATE scram.audit_finding f SET is_off = NOT f.is_off
    FROM (
        SELECT u.finding_id, coalesce(d.action = 'off', false) AS is_off
        FROM unnest(found.places) WITH ORDINALITY AS u(finding_id, number)
        LEFT JOIN scram_internal.decide(found.sources, found.subjects, found.check_ids) d ON d.number = u.number
    ) s
    WHERE f.finding_id = s.finding_id AND f.is_off <> s.is_off;
END
$$;

COMMENT ON TABLE scram.audit_policy IS 'which checks of the audit are off, and the severity of findings; the most specific row decides';
COMMENT ON COLUMN scram.audit_policy.check_id IS 'a check of scram.audit_checks(); NULL: any';
COMMENT ON COLUMN scram.audit_policy.source IS 'role, server, or the name of a registered source; NULL: any';
COMMENT ON COLUMN scram.audit_policy.subject IS 'pattern of LIKE, or "member of ROLE"; NULL: any';
COMMENT ON COLUMN scram.audit_policy.action IS 'off, or the severity of the findings: critical, warning, notice';
COMMENT ON COLUMN scram.audit_policy.until IS 'when it ends; NULL: never';
COMMENT ON COLUMN scram.audit_policy.note IS 'why';
COMMENT ON SEQUENCE scram.audit_policy_policy_id_seq IS 'numbers scram.audit_policy';
COMMENT ON TABLE scram_internal.hidden_finding IS 'internal to scram.run_audit(): how many findings each policy hid';
COMMENT ON FUNCTION scram_internal.require_policy() IS 'internal: checks a row of scram.audit_policy';
COMMENT ON FUNCTION scram_internal.policies() IS 'internal to scram.audit(): the policies in force';
COMMENT ON FUNCTION scram_internal.decide(text[], text[], text[]) IS 'internal to scram.audit(): the policy that decides about each finding';
COMMENT ON FUNCTION scram_internal.apply_policy(text, boolean) IS 'internal to scram.run_audit(): applies the policies to what a step has found';
COMMENT ON FUNCTION scram_internal.checks_off() IS 'internal to scram.audit(): checks that are off unless a policy names them';
