from django.db import migrations


class Migration(migrations.Migration):
    """The database, not the code, forbids moves that the submit protocol does not know."""

    dependencies = [("vprotect_bridge", "0001_initial")]

    operations = [
        migrations.RunSQL(
            """
            CREATE FUNCTION operation_moves() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                IF NEW.progress < OLD.progress THEN
                    NEW.progress := OLD.progress;
                END IF;
                IF OLD.outcome <> '' AND NEW.outcome = '' THEN
                    RAISE EXCEPTION 'operation % is finished', OLD.id;
                END IF;
                IF NEW.submission <> OLD.submission AND NOT (OLD.submission || '>' || NEW.submission = ANY (ARRAY[
                    'pending>sending', 'pending>accepted', 'pending>rejected', 'pending>expired',
                    'pending>cancelled', 'pending>needs_attention',
                    'sending>accepted', 'sending>rejected', 'sending>pending', 'sending>uncertain',
                    'uncertain>accepted', 'uncertain>pending', 'uncertain>needs_attention',
                    'accepted>needs_attention',
                    'needs_attention>accepted', 'needs_attention>pending', 'needs_attention>rejected'
                ])) THEN
                    RAISE EXCEPTION 'operation % cannot move from % to %', OLD.id, OLD.submission, NEW.submission;
                END IF;
                RETURN NEW;
            END $$;
            CREATE TRIGGER operation_moves BEFORE UPDATE ON vprotect_bridge_operation
                FOR EACH ROW EXECUTE FUNCTION operation_moves();
            """,
            """
            DROP TRIGGER operation_moves ON vprotect_bridge_operation;
            DROP FUNCTION operation_moves();
            """,
        ),
        migrations.RunSQL(
            "INSERT INTO vprotect_bridge_upstreamstatus"
            " (id, problem, clock_skew_ms, marker_fidelity) VALUES (1, '', 0, '');"
            "INSERT INTO vprotect_bridge_upstreamsession (id, generation, refused_logins) VALUES (1, 0, 0);",
            migrations.RunSQL.noop,
        ),
    ]
