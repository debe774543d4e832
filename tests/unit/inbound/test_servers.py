"""Free texts of many servers, each after the form that its server is known for: who is named, why, and is it final?"""

from __future__ import annotations

import pytest

from challenge.inbound.parse import parse

ANN = "ann@example.org"
_COPY = "\n\nReturn-Path: <b7-tag@bounce.example>\nReceived: from ours.example\nFrom: hello@ours.example\nTo: ann@example.org\n"

# (server, From, Subject, text, kind, reason, hardness)
SERVERS = [
    (
        "opensmtpd",
        "Mailer Daemon <MAILER-DAEMON@mx.example>",
        "Delivery status notification: error",
        "    Hi!\n\n    This is the MAILER-DAEMON, please DO NOT REPLY to this email.\n\n    An error has occurred while "
        "attempting to deliver a message for\n    the following list of recipients:\n\nann@example.org: 550 5.2.2 "
        "<ann@example.org>... Mailbox Full\n\n    Below is a copy of the original message:\n",
        ("bounce", "mailbox_full", "soft"),
    ),
    (
        "courier",
        '"Courier mail server at mx.example" <postmaster@mx.example>',
        "NOTICE: mail delivery status.",
        "This is a delivery status notification from mx.example,\nrunning the Courier mail server.\n\n"
        "UNDELIVERABLE MAIL\n\nYour message to the following recipients cannot be delivered:\n\n<ann@example.org>:\n"
        "    mx.example.org [192.0.2.3]:\n>>> RCPT TO:<ann@example.org>\n<<< 550 5.1.1 <ann@example.org>... User Unknown\n"
        "\n---\nIf your message was also sent to additional recipients...\n",
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "james",
        "postmaster@mx.example",
        "[BOUNCE] Day 2",
        "Hi. This is the James mail server at mx.example.\nI'm afraid I wasn't able to deliver your message to the "
        "following addresses.\nThis is a permanent error; I've given up. Sorry it didn't work out.  Below\n"
        "I include the list of recipients and the reason why I was unable to deliver\nyour message.\n\n"
        "Failed recipient(s):\nann@example.org\n\nError message:\n550 - Requested action not taken: no such user here\n",
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "imail",
        "Postmaster <postmaster@mx.example>",
        "Undeliverable Mail",
        "User mailbox exceeds allowed size: ann@example.org\n\nOriginal message follows.\n" + _COPY,
        ("bounce", "mailbox_full", "soft"),
    ),
    (
        "imail-unknown",
        "Postmaster <postmaster@mx.example>",
        "Undeliverable Mail",
        "Unknown user: ann@example.org\n\nRCPT TO generated following response:\n550 unknown\n\nOriginal message follows.\n",
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "mailmarshal",
        "postmaster@mx.example",
        'Undeliverable Mail: "Day 2"',
        "Your message:\n   From:    hello@ours.example\n   Subject: Day 2\nCould not be delivered because of\n\n"
        "550 5.1.1 User unknown\n\nThe following recipients were affected: \n    ann@example.org\n",
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "surfcontrol",
        "postmaster@mx.example",
        "Delivery Status Notification",
        "Your message could not be sent.\nA transcript of the attempts to send the message follows.\n"
        "The number of attempts made: 1\nAddressed To: ann@example.org\n\nFri 12 Oct 2007 Failed to send to identified "
        "host,\nann@example.org: [192.0.2.1], 550 ann@example.org... No such user here\n",
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "mcafee",
        '"Mail Delivery System"<mailer-daemon@mx.example>',
        "Delivery Status",
        "--- The following addresses had delivery problems ---\n\n<ann@example.org>   (User unknown ann@example.org)\n"
        "\n--------------Mail Delivery Status--------------\n",
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "activehunter",
        "MAILER-DAEMON@mx.example",
        "FAILURE NOTICE :",
        "Sorry, your message could not be delivered to the following recipient(s).\n\n  >>> ann@example.org <ann@example.org>\n\n"
        "   550 sorry, no mailbox here by that name (#5.1.1 - chkusr)\n\n----- Original message -----\n" + _COPY,
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "ezweb",
        "Postmaster@ezweb.example",
        "Mail System Error - Returned Mail",
        "The user(s) account is disabled.\n\n<ann@example.org>: 550 user unknown\n\n----- Below this line\n",
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "kddi",
        "no-reply@kddi.example",
        "Mail System Error - Returned Mail",
        "Your mail sent on: Thu, 29 Apr 2010 11:04:47 +0900\n        Could not be delivered to: <ann@example.org>\n"
        "        As their mailbox is full.\n",
        ("bounce", "mailbox_full", "soft"),
    ),
    (
        "biglobe",
        "postmaster@biglobe.example",
        "Returned mail: Mailbox Full",
        "----- The following addresses had delivery problems -----\nann@example.org\n\n----- Non-delivered information -----\n"
        "The number of messages in recipient's mailbox exceeded the local limit.\n",
        ("bounce", "mailbox_full", "soft"),
    ),
    (
        "messagelabs",
        "postmaster@mx.example",
        "Mail Delivery Failure",
        "The message could not be delivered to:\n\n   ann@example.org\n\nReason: 542 ann@example.org Rejected: message "
        "contains a virus\n",
        ("bounce", "content", "soft"),
    ),
    (
        "x6",
        "Postmaster <mailadmin@mx.example>",
        "There was an error sending your mail",
        "We had trouble delivering your message. Full details follow:\n\nSubject: 'Day 2'\nDate: 'Thu, 29 Apr 2010'\n\n"
        "1 error(s):\n\nSMTP Server <mx.example.org> rejected recipient <ann@example.org>\n  (Error following RCPT command)."
        " It responded as follows: [550 5.1.1 User unknown]\n",
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "old-sendmail",
        "Mail Delivery Subsystem <MAILER-DAEMON@mx.example>",
        "Returned mail: User unknown",
        "   ----- Transcript of session follows -----\nWhile talking to mx.example.org:\n>>> RCPT To:<ann@example.org>\n"
        "<<< 550 5.1.1 <ann@example.org>... User Unknown\n550 <ann@example.org>... User unknown\n\n"
        "   ----- Unsent message follows -----\n" + _COPY,
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "gmx",
        "Mailer-Daemon@gmx.example",
        "Mail delivery failed: returning message to sender",
        "This message was created automatically by mail delivery software.\n\nThe following address failed:\n\n"
        "<ann@example.org>:\n\nmx.example.org:\nSMTP error from remote server for RCPT TO command, host: mx.example.org "
        "(192.0.2.2) reason: 550 Requested action not taken: mailbox unavailable\n",
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "einsundeins",
        "Mail Delivery System <mailer-daemon@kundenserver.example>",
        "Mail delivery failed: returning message to sender",
        "This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered "
        "to one or more of\nits recipients. The following addresses failed:\n\n<ann@example.org>\nMail size limit exceeded. "
        "For explanation visit\nhttp://postmaster.example/de/error-messages?ip=%1s\n\n--- The header of the original message "
        "is following. ---\n" + _COPY,
        ("bounce", "size", "soft"),
    ),
    (
        "mail.ru",
        "mailer-daemon@corp.mail.example",
        "Mail failure.",
        "This message was created automatically by mail delivery software.\n\nA message that you sent could not be delivered "
        "to one or more of its\nrecipients. This is a permanent error. The following address(es) failed:\n\nann@example.org\n"
        "invalid mailbox. Local mailbox ann@example.org is unavailable: user is terminated\n",
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "exchange-german",
        "Systemadministrator <postmaster@mx.example>",
        "Unzustellbar: Tag 2",
        "Ihre Nachricht\n\n  An:      ann\n  Betreff: Tag 2\n\nkonnte folgende(n) Empfänger nicht erreichen:\n\n"
        "ann@example.org am 15.02.2006\n    Das E-Mail-Konto ist in der Organisation nicht vorhanden.\n    <mx.example #5.1.1>\n",
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "exchange-french",
        "Administrateur système <postmaster@mx.example>",
        "Non remis : Jour 2",
        "Votre message\n\n  À :     Ann\n\nn'a pas été remis au(x) destinataire(s) suivant(s) :\n\nann@example.org\n"
        "    L'adresse de messagerie n'existe pas.\n",
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "spanish",
        "MAILER-DAEMON@correo.example",
        "Mensaje no entregado",
        "No se ha podido entregar su mensaje a:\n\n<ann@example.org>\n\nEl buzón del destinatario está lleno.\n",
        ("bounce", "mailbox_full", "soft"),
    ),
    (
        "italian",
        "postmaster@posta.example",
        "Mancata consegna",
        "Il messaggio non è stato consegnato a:\n\nann@example.org\n\nUtente sconosciuto\n",
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "polish",
        "MAILER-DAEMON@poczta.example",
        "Niedostarczona wiadomość",
        "Wiadomość nie została dostarczona do:\n\nann@example.org\n\nPodany odbiorca nie istnieje\n",
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "russian",
        "mailer-daemon@pochta.example",
        "Недоставленное сообщение",
        "К сожалению, Ваше письмо не может быть доставлено:\n\nann@example.org\n\nПользователь не найден\n",
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "chinese",
        "PostMaster <PostMaster@qq.example>",
        "系统退信",
        "抱歉，您的邮件被退回来了\n收信人: ann@example.org\n退信原因: 收件人邮箱不存在\n",
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "zimbra-delay",
        "MAILER-DAEMON@mx.example",
        "Delayed Mail (still being retried)",
        "This is the mail system at host mx.example.\n\n# THIS IS A WARNING ONLY.  YOU DO NOT NEED TO RESEND YOUR MESSAGE. #\n\n"
        "Your message could not be delivered for more than 4 hour(s).\nIt will be retried until it is 5 day(s) old.\n\n"
        "<ann@example.org>: connect to mx.example.org[192.0.2.1]:25: Connection timed out\n",
        ("delayed", "network", "soft"),
    ),
    (
        "sendmail-delay",
        "Mail Delivery Subsystem <MAILER-DAEMON@mx.example>",
        "Warning: could not send message for past 4 hours",
        "    **********************************************\n    **      THIS IS A WARNING MESSAGE ONLY      **\n"
        "    **  YOU DO NOT NEED TO RESEND YOUR MESSAGE  **\n\nThe original message was received at Tue\n\n"
        "   ----- Transcript of session follows -----\n<ann@example.org>... Deferred: Connection refused by mx.example.org.\n"
        "Warning: message still undelivered after 4 hours\nWill keep trying until message is 5 days old\n",
        ("delayed", "network", "soft"),
    ),
    (
        "powermta-less",
        "Mail Delivery System <MAILER-DAEMON@mx.example>",
        "Mail delivery failed",
        "Hello, this is the mail server on mx.example.\n\nI am sending you this message to inform you on the delivery status of "
        "a\nmessage you previously sent.  Immediately below you will find a list of\nthe affected recipients.\n\n"
        "  <ann@example.org>:\n    delivery failed; will not continue trying\n    reason: bad-mailbox, 550 5.1.1 recipient unknown\n",
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "trend",
        "imss@mx.example",
        "Mail could not be delivered",
        "****** Message from InterScan Messaging Security Suite ******\n\nSent <<< RCPT TO:<ann@example.org>\n"
        "Received >>> 550 5.1.1 <ann@example.org>... user unknown\n\nUnable to deliver message to <ann@example.org>.\n",
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "hmailserver",
        "mailer-daemon@mx.example",
        "Message undeliverable: Day 2",
        "Your message did not reach some or all of the intended recipients.\n\n   Subject: Day 2\n\nThe following recipient(s) could "
        "not be reached:\n\nann@example.org\n   Error Type: SMTP\n   Remote server replied: 452 4.2.2 Mailbox full\n",
        ("bounce", "mailbox_full", "soft"),
    ),
    (
        "mdaemon",
        "MDaemon@mx.example",
        "Permanent Delivery Failure",
        "The attached message had PERMANENT fatal delivery errors!\n\nThe following addresses did NOT receive a copy of your "
        "message:\n\n> ann@example.org\n\n--- Session Transcript ---\n <-- 250 ok\n --> RCPT To:<ann@example.org>\n"
        " <-- 550 5.1.1 <ann@example.org>, Recipient unknown\n\n--- End Transcript ---\n",
        ("bounce", "user_unknown", "hard"),
    ),
    (
        "pmdf",
        "Internet Mail Delivery <postmaster@mx.example>",
        "Delivery Notification: Delivery has failed",
        "This report relates to a message you sent with the following header fields:\n\n  Message-id: <1@ours.example>\n"
        '  From: "Us" <hello@ours.example>\n  To: Ann <list@ours.example>\n\nYour message cannot be delivered to the following '
        "recipients:\n\n  Recipient address: ann@example.org\n  Reason: recipient reached disk quota\n",
        ("bounce", "mailbox_full", "soft"),
    ),
    (
        "nothing-said",
        "MAILER-DAEMON@mx.example",
        "failure notice",
        "Your message could not be delivered to:\n\nann@example.org\n",
        ("bounce", "unknown", "soft"),
    ),
]


@pytest.mark.parametrize(("server", "sender", "subject", "text", "wanted"), SERVERS, ids=[row[0] for row in SERVERS])
def test_a_servers_own_words_are_understood(
    server: str, sender: str, subject: str, text: str, wanted: tuple[str, str, str]
) -> None:
    mail = f"From: {sender}\nTo: b7-tag@bounce.example\nSubject: {subject}\nContent-Type: text/plain; charset=utf-8\n\n{text}"
    reports = parse(mail.encode())
    assert [(one.recipient, (one.kind, one.reason, one.hardness)) for one in reports] == [(ANN, wanted)]
