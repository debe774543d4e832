"""Reasons: what real servers say, and what it means. The lines are those that providers document or are known for."""

from __future__ import annotations

import pytest

from challenge.inbound.reasons import code_in, from_status, from_words, hardness_of
from challenge.inbound.report import Hardness, Reason

SAID = """
user_unknown | 550-5.1.1 The email account that you tried to reach does not exist. Please try 550-5.1.1 double-checking the recipient's email address for typos or 550-5.1.1 unnecessary spaces. Learn more at 550 5.1.1 https://support.google.com/mail/?p=NoSuchUser a1si123
user_unknown | 550 5.1.1 <ann@spam.example>: Recipient address rejected: User unknown in virtual mailbox table
user_unknown | 554 delivery error: dd This user doesn't have a yahoo.com account (ann@yahoo.com) [-5] - mta1234.mail.ne1.yahoo.com
user_unknown | 552 1 Requested mail action aborted, mailbox not found
user_unknown | 550 5.5.0 Requested action not taken: mailbox unavailable (S2017062302). [BN3NAM01FT058.eop-nam01.prod.protection.outlook.com]
user_unknown | 550 5.4.1 Recipient address rejected: Access denied. AS(201806281) [DB5EUR01FT031.eop-EUR01.prod.protection.outlook.com]
user_unknown | 550 5.1.10 RESOLVER.ADR.RecipientNotFound; Recipient ann@example.org not found by SMTP address lookup
user_unknown | 550 5.1.1 RESOLVER.ADR.ExRecipNotFound; not found
user_unknown | 550 Requested action not taken: mailbox unavailable invalid DNS MX or A/AAAA resource record ann unknown user account
user_unknown | 550 #5.1.0 Address rejected.
user_unknown | 550 No such user here
user_unknown | 550 5.1.1 unknown or illegal alias: ann@example.org
user_unknown | 511 sorry, no mailbox here by that name (#5.1.1 - chkuser)
user_unknown | Sorry, no mailbox here by that name. vpopmail (#5.1.1)
user_unknown | This address no longer accepts mail. No such user (#5.1.1)
user_unknown | 550 5.1.1 <ann@icloud.com>: user does not exist
user_unknown | 550 Unrouteable address
user_unknown | 550 unknown user
user_unknown | 550 invalid recipient
user_unknown | User ann (ann@example.org) not listed in Domino Directory
user_unknown | 550 5.1.1 ann@example.org... No such user
user_unknown | 550 5.1.1 sid: ann@aol.com Recipient unknown
user_unknown | 550 Benutzer unbekannt / User unknown
user_unknown | 550 <ann@t-online.de> Empfaenger unbekannt
user_unknown | 550 5.1.1 Adresse d'au moins un destinataire invalide. Invalid recipient. LPN416 [416]
user_unknown | 550 Destinataire inconnu
user_unknown | 550 El usuario no existe
user_unknown | 550 utente sconosciuto
user_unknown | 550 Usuário desconhecido
user_unknown | 550 Gebruiker onbekend
user_unknown | 550 Пользователь не найден
user_unknown | 550 Mailbox not found. 收件人不存在
user_unknown | 550 5.1.1 宛先が見つかりません
user_unknown | 550 relay not permitted / mailbox ann does not exist
user_unknown | 550 5.7.1 Unable to relay... no such user
user_unknown | 5.1.6 recipient no longer on server
user_unknown | The recipient's e-mail address was not found in the recipient's e-mail system.
user_unknown | The e-mail address you entered couldn't be found. Please check the recipient's e-mail address and try to resend the message.
user_unknown | Your message wasn't delivered to ann@example.org because the address couldn't be found, or is unable to receive mail.
user_unknown | 550 Mailbox unavailable or access denied - <ann@example.org>
user_unknown | 551 User not local; please try <forward@example.org>
user_unknown | unknown user: "ann"
user_unknown | 550 Address invalid
user_unknown | 550 5.2.0 No such mailbox
inactive | 550 5.2.1 The email account that you tried to reach is disabled. Learn more at https://support.google.com/mail/?p=DisabledUser
inactive | 550-5.2.1 The email account that you tried to reach is inactive.
inactive | 554 30 Sorry, your message to ann@yahoo.com cannot be delivered. This mailbox is disabled (554.30).
inactive | 550 The account has been suspended or closed
inactive | 550 Account disabled
inactive | 525 5.7.13 Disabled recipient address
inactive | 550 User account is locked
inactive | 550 5.2.1 Mailbox disabled, not accepting messages
inactive | 550 Konto ist gesperrt
inactive | 550 Ce compte est suspendu
inactive | 554 5.7.1 Recipient mailbox is dormant
domain_unknown | Host or domain name not found. Name service error for name=nowhere.example type=A: Host not found
domain_unknown | 550 5.1.2 <ann@nowhere.example>... Host unknown (Name server: nowhere.example: host not found)
domain_unknown | Sorry, I couldn't find any host named nowhere.example. (#5.1.2)
domain_unknown | Sorry, I couldn't find a mail exchanger or IP address. (#5.4.4)
domain_unknown | Domain example.invalid does not accept mail (nullMX)
domain_unknown | DNS Error: 12345 DNS type 'mx' lookup of nowhere.example responded with code NXDOMAIN Domain name not found: nowhere.example
domain_unknown | unrouteable mail domain "nowhere.example"
domain_unknown | all relevant MX records point to non-existent hosts
domain_unknown | 5.1.2 - Bad destination host 'DNS Hard Error looking up nowhere.example (MX): NXDomain'
mailbox_full | 452-4.2.2 The email account that you tried to reach is over quota. Please direct 452-4.2.2 the recipient to https://support.google.com/mail/?p=OverQuotaTemp
mailbox_full | 552 5.2.2 Mailbox full
mailbox_full | 552 RCPT TO:<ann@qq.com> Mailbox disk quota exceeded
mailbox_full | 554 5.2.2 mailbox full; STOREDRV.Deliver.Exception:QuotaExceededException.MapiExceptionShutoffQuotaExceeded
mailbox_full | 422 The recipient's mailbox is over its storage limit
mailbox_full | 550 <ann@example.org>: quota exceeded
mailbox_full | mailbox for user ann is full
mailbox_full | 452 4.3.1 Insufficient system storage
mailbox_full | User's Disk Quota exceeded. Sorry, your intended recipient has too much mail stored in his mailbox.
mailbox_full | Das Postfach des Empfängers ist voll
mailbox_full | La boîte de réception du destinataire est pleine
mailbox_full | El buzón del destinatario está lleno
mailbox_full | La casella del destinatario è piena
mailbox_full | 收件人邮箱已满
mailbox_full | The recipient's inbox is out of storage space and inactive. Please direct the recipient to https://support.google.com/mail/?p=OverQuotaPerm
size | 552 5.3.4 Message size exceeds fixed limit
size | 552-5.2.3 Your message exceeded Google's message size limits.
size | 550 5.2.3 RESOLVER.RST.RecipSizeLimit; message too large for this recipient
size | message size 18876259 exceeds size limit 10485760 of server mx.example.org[192.0.2.4]
size | 523 the message's size exceeds the recipient's size limits
size | Die Nachricht ist zu groß
content | 554 5.7.1 Message content rejected, id=11092-02-101
content | 550 High probability of spam
content | 552-5.7.0 This message was blocked because its content presents a potential 552-5.7.0 security issue. https://support.google.com/mail/?p=BlockedMessage
content | 554 rejected due to spam content
content | 554 5.7.1 Your message contained a virus: Eicar-Test-Signature
content | 550 This message was classified as SPAM and may not be delivered
content | 571 Message Refused: bulk mail
content | 554 5.6.0 Reject, id=01 - BAD_HEADER
reputation | 550 5.7.1 Service unavailable; Client host [192.0.2.9] blocked using Spamhaus
reputation | 550 5.7.1 Unfortunately, messages from [192.0.2.9] weren't sent. Please contact your Internet service provider since part of their network is on our block list (S3140).
reputation | 421-4.7.0 [192.0.2.9 15] Our system has detected that this message is suspicious due to the very low reputation of the sending IP address.
reputation | 554 Your access to this mail system has been rejected due to the sending MTA's poor reputation.
reputation | 550 5.7.606 Access denied, banned sending IP [192.0.2.9]
reputation | 550-5.7.1 [192.0.2.9] The IP you're using to send mail is listed at our blacklist
reputation | 450 4.7.1 Client host rejected: cannot find your reverse hostname, [192.0.2.9]
reputation | 550 5.7.25 The IP address sending this message does not have a PTR record setup
reputation | 521 5.2.1 (DYN:T1) AOL will not accept delivery of this message: dynamic address
authentication | 550-5.7.26 This mail has been blocked because the sender is unauthenticated. Gmail requires all senders to authenticate with either SPF or DKIM.
authentication | 550 5.7.1 Unauthenticated email from example.org is not accepted due to domain's DMARC policy.
authentication | 550 5.7.23 The message was rejected because of Sender Policy Framework violation
authentication | 550 5.7.515 Access denied, sending domain example.org does not meet the required authentication level.
authentication | 553 5.7.1 SPF check: 192.0.2.9 is not allowed to send mail from example.org
policy | 554 5.7.1 <ann@example.org>: Relay access denied
policy | 550 5.7.1 Unable to relay
policy | 550 <bounce@us.example>: Sender address rejected: Domain not found
policy | 550 5.1.8 Sender address rejected: User unknown in relay recipient table
policy | 550 5.7.1 RESOLVER.RST.AuthRequired; authentication required
policy | 550 5.7.133 RESOLVER.RST.SenderNotAuthenticatedForGroup; authentication required
policy | 550 Administrative prohibition
policy | 550 5.7.0 Local Policy Violation
policy | 550 Verification failed for <us@example.org> Sender verify failed
policy | 553 sorry, that domain isn't in my list of allowed rcpthosts (#5.7.1)
policy | We're sorry, but the group you tried to contact may not exist, or you may not have permission to post messages to the group.
rate_limited | 450-4.2.1 The user you are trying to contact is receiving mail at a rate that 450-4.2.1 prevents additional messages from being delivered.
rate_limited | 421 4.7.28 Our system has detected an unusual rate of unsolicited mail originating from your IP address.
rate_limited | 421 Too many concurrent SMTP connections
rate_limited | 452 4.5.3 Too many recipients
greylisted | 450 4.2.0 <ann@example.org>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/example.org.html
greylisted | 451 4.7.1 Greylisting in action, please come back later
loop | 554 5.4.6 Too many hops 26 (25 max)
loop | 550 5.4.14 Hop count exceeded - possible mail loop ATTR34
loop | mail for example.org loops back to myself
network | connect to mx.example.org[192.0.2.4]:25: Connection timed out
network | connect to mx.example.org[192.0.2.4]:25: Connection refused
network | 451 4.4.1 reply: read error from mx.example.org.
network | lost connection with mx.example.org[192.0.2.4] while performing the HELO handshake
network | Sorry, I wasn't able to establish an SMTP connection. (#4.4.1)
network | Host or domain name not found. Name service error for name=example.org type=MX: Host not found, try again
network | 432 4.3.2 STOREDRV.ClientSubmit; sender thread limit exceeded? service unavailable
network | 554 Service currently unavailable
user_unknown | 550 user 'ann' has no mailbox
user_unknown | 550 5.1.1 : Recipient address rejected: LMTP destination recipient address verification
inactive | 550 5.2.1 Account inactivated
content | 550 Blocked attachment type .exe
reputation | 421 4.7.0 [TSS04] Messages from 192.0.2.25 temporarily deferred due to unexpected volume or user complaints
mailbox_full | Benutzer hat zuviel Mails auf dem Server
user_unknown | 550 5.1.1 rejected
mailbox_full | 552 5.2.2 rejected
expired | retry timeout exceeded
expired | 4.4.7 (delivery time expired)
expired | 550 4.4.7 QUEUE.Expired; message expired
expired | Message expired, unable to deliver in 5 days
""".strip().splitlines()


@pytest.mark.parametrize("line", SAID)
def test_the_words_of_real_servers_are_understood(line: str) -> None:
    wanted, _, said = line.partition(" | ")
    assert from_words(said) == wanted


@pytest.mark.parametrize(
    "said",
    [
        "550 <no-such-user@spam-quota.example>: go away",
        "550 see https://user-unknown.example/mailbox-full?x=spam",
        "550 host user.unknown.mailbox.example[192.0.2.1] said so",
        "",
    ],
)
def test_names_and_links_say_nothing(said: str) -> None:
    assert from_words(said) is None


def test_only_a_dead_address_is_hard() -> None:
    hard = {reason for reason in Reason if hardness_of(reason) is Hardness.hard}
    assert hard == {Reason.user_unknown, Reason.domain_unknown, Reason.inactive}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("5.1.1", Reason.user_unknown),
        ("5.1.2", Reason.domain_unknown),
        ("5.2.2", Reason.mailbox_full),
        ("4.2.2", Reason.mailbox_full),
        ("5.7.1", Reason.policy),
        ("5.7.26", Reason.authentication),
        ("4.4.7", Reason.expired),
        ("4.4.1", Reason.network),
        ("5.0.0", None),
        ("2.1.5", None),
        ("", None),
    ],
)
def test_a_code_speaks_where_words_do_not(status: str, reason: Reason | None) -> None:
    assert from_status(status) is reason


def test_an_address_of_a_host_is_no_code() -> None:
    assert code_in("host mx.example.org[1.2.3.4] said: 550 5.7.1 no") == "5.7.1"
    assert code_in("sorry (#5.1.1)") == "5.1.1"
