"""the files of each edition that sends mails"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'edition',
        sa.Column('edition', sa.String(length=12), nullable=False),
        sa.Column('kept_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('files', sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint('edition', name='pk_edition'),
    )


def downgrade() -> None:
    op.drop_table('edition')
