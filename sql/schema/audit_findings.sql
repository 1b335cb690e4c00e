-- Functions that accept findings, compare runs and remove old ones. They are SECURITY INVOKER, so the caller needs the
-- privileges on the tables.

CREATE FUNCTION scram_internal.keep_earlier() RETURNS trigger
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Keep the previous state only when it comes from an earlier run.
    IF NEW.last_run > OLD.last_run THEN
        NEW.earlier := OLD.earlier || jsonb_strip_nulls(jsonb_build_object(
            'until_run', OLD.last_run, 'severity', OLD.severity, 'evidence', OLD.evidence,
            'context', nullif(OLD.context, '')));
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER audit_remember BEFORE UPDATE ON scram.audit_finding
-- Without the context: a rule on another line is the same one.
FOR EACH ROW WHEN ((OLD.severity, left(OLD.evidence, length(OLD.evidence) - length(OLD.context)))
    IS DISTINCT FROM (NEW.severity, left(NEW.evidence, length(NEW.evidence) - length(NEW.context))))
EXECUTE FUNCTION scram_internal.keep_earlier();

-- Raises 22023 for an acceptance that would end before it begins, and for a note that is too long. Internal.
CREATE FUNCTION scram_internal.require_acceptance(until timestamptz, note text) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF until <= clock_timestamp() THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'an acceptance must end in the future',
            DETAIL = format('"until" is %s.', until),
            HINT = 'Leave "until" out to accept for ever, or use scram.reopen_finding().';
    END IF;
    IF octet_length(note) > 8192 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'note is too long',
            DETAIL = format('The note has %s bytes; the limit is 8192.', octet_length(note));
    END IF;
END
$$;

-- Locks a finding that stands, and returns its status. Internal.
CREATE FUNCTION scram_internal.lock_finding(id bigint) RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_status text;
BEGIN
    IF id IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = '"finding_id" must not be null';
    END IF;
    SELECT f.status INTO found_status FROM scram.audit_finding f WHERE f.finding_id = id FOR UPDATE;
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('finding %s does not exist', id);
    END IF;
    IF found_status = 'fixed' THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('finding %s is fixed', id);
    END IF;
    RETURN found_status;
END
$$;

CREATE FUNCTION scram.accept_finding(finding_id bigint, until timestamptz DEFAULT NULL, note text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM scram_internal.require_acceptance(until, note);
    PERFORM scram_internal.lock_finding(finding_id);
    UPDATE scram.audit_finding f
    SET status = 'accepted', accepted_until = until, note = accept_finding.note
    WHERE f.finding_id = accept_finding.finding_id;
END
$$;

-- Returns how many open findings it has accepted. It leaves out those that are accepted already, because each of them may have
-- a note and an end of its own.
CREATE FUNCTION scram.accept_findings(
    check_id text,
    subject_pattern text DEFAULT '%',
    until timestamptz DEFAULT NULL,
    note text DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    accepted bigint;
BEGIN
    IF check_id IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = '"check_id" must not be null';
    END IF;
    IF octet_length(subject_pattern) > 1024 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'pattern is too long',
            DETAIL = format('The pattern has %s bytes; the limit is 1024.', octet_length(subject_pattern));
    END IF;
    PERFORM scram_internal.require_acceptance(until, note);
    IF NOT EXISTS (SELECT FROM scram.audit_checks() c WHERE c.check_id = accept_findings.check_id) THEN
        RAISE undefined_object USING
            MESSAGE = format('check "%s" does not exist', check_id),
            HINT = 'scram.audit_checks() lists the checks.';
    END IF;
    -- An acceptance whose time is over counts as open, although only the next run sets its status.
    UPDATE scram.audit_finding f
    SET status = 'accepted', accepted_until = until, note = accept_findings.note
    WHERE f.check_id = accept_findings.check_id
        AND f.subject LIKE coalesce(subject_pattern, '%')
        AND (f.status = 'open' OR f.status = 'accepted' AND f.accepted_until <= clock_timestamp());
    GET DIAGNOSTICS accepted = ROW_COUNT;
    RETURN accepted;
END
$$;

-- The note stays, because it says why the finding was accepted before.
CREATE FUNCTION scram.reopen_finding(finding_id bigint) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF scram_internal.lock_finding(finding_id) = 'accepted' THEN
        UPDATE scram.audit_finding f SET status = 'open', accepted_until = NULL
        WHERE f.finding_id = reopen_finding.finding_id;
    END IF;
END
$$;

-- The findings of one run, as they were then. fact: the evidence without its context. is_off: whether it is
-- off now, so that a later run did not judge it. Internal.
CREATE FUNCTION scram_internal.findings_of(run bigint)
RETURNS TABLE (
    source text, subject text, check_id text, severity text, evidence text, fact text, is_off boolean,
    system_identifier bigint, role oid)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM scram.audit_run r WHERE r.run_id = run) THEN
        RAISE undefined_object USING MESSAGE = format('run %s does not exist', run);
    END IF;
    RETURN QUERY
    -- Two roles have had one name if the second one was renamed after the first one was dropped.
    SELECT DISTINCT ON (f.source, f.subject, f.check_id, f.role)
        f.source, f.subject, f.check_id, coalesce(e.severity, f.severity), coalesce(e.evidence, f.evidence),
        coalesce(e.fact, left(f.evidence, length(f.evidence) - length(f.context))), f.is_off, f.system_identifier, f.role
    FROM scram.audit_finding f
    LEFT JOIN LATERAL (
        SELECT x.severity, x.evidence, left(x.evidence, length(x.evidence) - length(coalesce(x.context, ''))) AS fact
        FROM jsonb_to_recordset(f.earlier) AS x(until_run bigint, severity text, evidence text, context text)
        WHERE x.until_run >= run
        ORDER BY x.until_run
        LIMIT 1
    ) e ON true
    WHERE run BETWEEN f.first_run AND f.last_run
    ORDER BY f.source, f.subject, f.check_id, f.role, f.finding_id DESC;
END
$$;

CREATE FUNCTION scram.audit_diff(run_a bigint, run_b bigint)
RETURNS TABLE (change text, source text, subject text, check_id text, severity text, evidence text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
BEGIN
    IF run_a IS NULL OR run_b IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = '"run_a" and "run_b" must not be null';
    END IF;
    RETURN QUERY
    SELECT d.change, d.source, d.subject, d.check_id, d.severity, d.evidence
    FROM (
        SELECT CASE WHEN a.check_id IS NULL THEN 'new' WHEN b.check_id IS NULL THEN 'fixed' ELSE 'changed' END AS change,
               coalesce(b.source, a.source) AS source, coalesce(b.subject, a.subject) AS subject,
               coalesce(b.check_id, a.check_id) AS check_id,
               coalesce(b.severity, a.severity) AS severity, coalesce(b.evidence, a.evidence) AS evidence,
               (a.severity, a.fact) IS DISTINCT FROM (b.severity, b.fact)
                   AND (a.check_id IS NOT NULL OR NOT b.is_off) AND (b.check_id IS NOT NULL OR NOT a.is_off) AS differs
        FROM scram_internal.findings_of(run_a) a
        FULL JOIN scram_internal.findings_of(run_b) b
            ON (a.source, a.subject, a.check_id) = (b.source, b.subject, b.check_id)
            -- A role that was dropped, and another one of its name, have different findings. OIDs of two clusters tell
            -- nothing.
            AND (a.role <> b.role AND a.system_identifier = b.system_identifier) IS NOT TRUE
    ) d
    WHERE d.differs
    ORDER BY d.change, array_position(ARRAY['critical', 'warning', 'notice'], d.severity), d.check_id, d.source, d.subject;
END
$$;

CREATE FUNCTION scram.prune_audit(keep interval) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    called_at CONSTANT timestamptz := clock_timestamp();
    -- More would overflow timestamptz.
    longest CONSTANT interval := interval '1000 years';
    keep_since timestamptz;
    removed bigint;
BEGIN
    IF keep IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = '"keep" must not be null';
    END IF;
    -- Compare times too, because a month has 30 days in the comparison of intervals and 28 to 31 in their subtraction.
    keep_since := called_at - least(greatest(keep, interval '0'), longest);
    IF keep < interval '0' OR keep_since > called_at THEN
        RAISE invalid_parameter_value USING MESSAGE = 'the time for which audits are kept must not be negative';
    END IF;
    DELETE FROM scram.audit_run r WHERE r.started_at < keep_since AND r.status <> 'running';
    GET DIAGNOSTICS removed = ROW_COUNT;
    -- Keep open and accepted findings. Remove a fixed one together with the last run that saw it.
    DELETE FROM scram.audit_finding f
    WHERE f.status = 'fixed' AND NOT EXISTS (SELECT FROM scram.audit_run r WHERE r.run_id BETWEEN f.first_run AND f.last_run);
    RETURN removed;
END
$$;

COMMENT ON FUNCTION scram.accept_finding(bigint, timestamptz, text) IS
    'accepts a finding until a time, or for ever: it is not counted as open';
COMMENT ON FUNCTION scram.accept_findings(text, text, timestamptz, text) IS
    'accepts all open findings of a check on subjects that match a pattern; returns how many';
COMMENT ON FUNCTION scram.audit_diff(bigint, bigint) IS 'what is new, fixed or changed between two runs';
COMMENT ON FUNCTION scram_internal.findings_of(bigint) IS 'internal to scram.audit_diff(): the findings of a run as they were';
COMMENT ON FUNCTION scram_internal.require_acceptance(timestamptz, text) IS
    'internal to scram.accept_finding(): raises for an end in the past and for a long note';
COMMENT ON FUNCTION scram_internal.lock_finding(bigint) IS
    'internal to scram.accept_finding(): locks a finding that stands';
COMMENT ON FUNCTION scram_internal.keep_earlier() IS 'internal: keeps what a finding said before';
COMMENT ON FUNCTION scram.prune_audit(interval) IS 'removes stored runs older than this; returns how many';
COMMENT ON FUNCTION scram.reopen_finding(bigint) IS 'ends the acceptance of a finding: it counts as open again';
