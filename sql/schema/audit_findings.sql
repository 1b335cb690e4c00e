-- Functions that accept findings, compare runs and remove old ones. They are SECURITY INVOKER, so the caller needs the
-- privileges on the tables.

CREATE FUNCTION scram_internal.keep_earlier() RETURNS trigger
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    -- Keep the previous state only when it comes from an earlier run.
    IF NEW.last_run > OLD.last_run THEN
        NEW.earlier := OLD.earlier || jsonb_build_object(
            'until_run', OLD.last_run, 'severity', OLD.severity, 'evidence', OLD.evidence);
    END IF;
    RETURN NEW;
END
$$;

CREATE TRIGGER audit_remember BEFORE UPDATE ON scram.audit_finding
FOR EACH ROW WHEN ((OLD.severity, OLD.evidence) IS DISTINCT FROM (NEW.severity, NEW.evidence))
EXECUTE FUNCTION scram_internal.keep_earlier();

CREATE FUNCTION scram.accept_finding(finding_id bigint, until timestamptz, note text) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    found_status text;
BEGIN
    IF finding_id IS NULL OR note IS NULL THEN
        RAISE null_value_not_allowed USING
            MESSAGE = '"finding_id" and "note" must not be null',
            HINT = 'Only "until" may be: then the finding is accepted for ever.';
    END IF;
    IF octet_length(note) > 8192 THEN
        RAISE invalid_parameter_value USING
            MESSAGE = 'note is too long',
            DETAIL = format('The note has %s bytes; the limit is 8192.', octet_length(note));
    END IF;
    SELECT f.status INTO found_status FROM scram.audit_finding f
    WHERE f.finding_id = accept_finding.finding_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE undefined_object USING MESSAGE = format('finding %s does not exist', finding_id);
    END IF;
    IF found_status = 'fixed' THEN
        RAISE object_not_in_prerequisite_state USING MESSAGE = format('finding %s is fixed', finding_id);
    END IF;
    UPDATE scram.audit_finding f
    SET status = 'accepted', accepted_until = until, note = accept_finding.note
    WHERE f.finding_id = accept_finding.finding_id;
END
$$;

-- The findings of one run, as they were then. Internal.
CREATE FUNCTION scram_internal.findings_of(run bigint)
RETURNS TABLE (source text, subject text, check_id text, severity text, evidence text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM scram.audit_run r WHERE r.run_id = run) THEN
        RAISE undefined_object USING MESSAGE = format('run %s does not exist', run);
    END IF;
    RETURN QUERY
    SELECT DISTINCT ON (f.source, f.subject, f.check_id)
        f.source, f.subject, f.check_id, coalesce(e.severity, f.severity), coalesce(e.evidence, f.evidence)
    FROM scram.audit_finding f
    LEFT JOIN LATERAL (
        SELECT x.severity, x.evidence
        FROM jsonb_to_recordset(f.earlier) AS x(until_run bigint, severity text, evidence text)
        WHERE x.until_run >= run
        ORDER BY x.until_run
        LIMIT 1
    ) e ON true
    WHERE run BETWEEN f.first_run AND f.last_run
    ORDER BY f.source, f.subject, f.check_id, f.finding_id DESC;
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
               source, subject, check_id,
               coalesce(b.severity, a.severity) AS severity, coalesce(b.evidence, a.evidence) AS evidence,
               (a.severity, a.evidence) IS DISTINCT FROM (b.severity, b.evidence) AS differs
        FROM scram_internal.findings_of(run_a) a
        FULL JOIN scram_internal.findings_of(run_b) b USING (source, subject, check_id)
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
    removed bigint;
BEGIN
    IF keep IS NULL THEN
        RAISE null_value_not_allowed USING MESSAGE = '"keep" must not be null';
    END IF;
    IF keep < interval '0' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'the time for which audits are kept must not be negative';
    END IF;
    DELETE FROM scram.audit_run r
    WHERE r.started_at < clock_timestamp() - keep AND r.status <> 'running';
    GET DIAGNOSTICS removed = ROW_COUNT;
    -- Keep open and accepted findings. Remove a fixed one together with the last run that saw it.
    DELETE FROM scram.audit_finding f
    WHERE f.status = 'fixed' AND NOT EXISTS (SELECT FROM scram.audit_run r WHERE r.run_id BETWEEN f.first_run AND f.last_run);
    RETURN removed;
END
$$;

COMMENT ON FUNCTION scram.accept_finding(bigint, timestamptz, text) IS
    'accepts a finding until a time, or for ever: it is not counted as open';
COMMENT ON FUNCTION scram.audit_diff(bigint, bigint) IS 'what is new, fixed or changed between two runs';
COMMENT ON FUNCTION scram_internal.findings_of(bigint) IS 'internal to scram.audit_diff(): the findings of a run as they were';
COMMENT ON FUNCTION scram_internal.keep_earlier() IS 'internal: keeps what a finding said before';
COMMENT ON FUNCTION scram.prune_audit(interval) IS 'removes stored runs older than this; returns how many';
