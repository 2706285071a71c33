import django.db.models.deletion
import django.db.models.manager
from django.db import migrations, models

# As `record.py` adds them up; it does so again within the hour.
ADD_UP = """
    INSERT INTO reports_machinemonth (tenant_id, month, machine_guid, machine_name, plan_id, plan_name,
        destination_guid, byte_days, machine_days)
    SELECT tenant_id, date_trunc('month', day)::date, machine_guid, max(machine_name), plan_id, max(plan_name),
        destination_guid, sum(stored_bytes)::bigint, coalesce(sum(protected_machines), 0)
    FROM reports_machineusage GROUP BY 1, 2, 3, 5, 7
"""


class Migration(migrations.Migration):

    dependencies = [
        ('reports', '0006_outbox'),
    ]

    operations = [
        migrations.CreateModel(
            name='MachineMonth',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('month', models.DateField()),
                ('machine_guid', models.CharField(max_length=64)),
                ('machine_name', models.TextField(blank=True)),
                ('plan_id', models.CharField(blank=True, max_length=36)),
                ('plan_name', models.TextField(blank=True)),
                ('destination_guid', models.CharField(blank=True, max_length=64)),
                ('byte_days', models.BigIntegerField()),
                ('machine_days', models.IntegerField()),
                ('tenant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
            ],
            options={
                'base_manager_name': 'across_tenants',
                'default_manager_name': 'across_tenants',
                'indexes': [models.Index(fields=['tenant', 'month', '-byte_days'], name='usage_largest_of_month')],
                'constraints': [models.UniqueConstraint(fields=('tenant', 'month', 'machine_guid', 'plan_id', 'destination_guid'), name='one_sum_per_month')],
            },
            managers=[
                ('across_tenants', django.db.models.manager.Manager()),
            ],
        ),
        migrations.RunSQL(ADD_UP, migrations.RunSQL.noop),
        migrations.RemoveIndex(
            model_name='machineusage',
            name='usage_largest_of_day',
        ),
    ]
