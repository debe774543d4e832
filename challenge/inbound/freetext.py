"""What does a server's free text say? For bounces without a delivery-status part: qmail, Exim, old Sendmail, Domino, GroupWise,
and whatever somebody wrote in a script. Recognised by who sent it and what it says, never by a quoted bounce.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from challenge.inbound.mime import Part
from challenge.inbound.patterns import any_of
from challenge.inbound.replying import is_named_an_answer

_ADDRESS = re.compile(
    r"[^\s<>()\[\],;:\"'|=*@{}]{1,64}@(?:[^\s<>()\[\],;:\"'|=*@{}/\\]{1,63}\.)+[^\s<>()\[\],;:\"'|=*@{}/\\.\d-][^\s<>()\[\],;:\"'|=*@{}/\\.]{0,23}"
)
_DAEMON = any_of(
    r"""
    mailer[-_ ]?daemon
    mail[-_ ]?daemon
    post-?master
    mail delivery (?:sub-?system|system|service|agent|manager)
    mail[-_ ]?(?:server|router|gateway|administrator|admin|system)\b
    delivery[-_ ](?:subsystem|system|agent|service|notification|status)
    system administrator
    internet mail
    \bmailer\b
    mdaemon
    smtp[-_ ]?(?:server|gateway|daemon|agent)
    microsoft outlook
    message transfer agent
    bounce(?:s|[-_ ]?(?:admin|handler|master))?@
    \bmta\b
    returned mail
    daemon@
    mail-?sweeper
    undelivered
    administrator@
    uucp@
    <>\s*$
    """,
    ignore_case=True,
)
_SUBJECT = any_of(
    r"""
    failure notice
    fail(?:ure|ed) (?:delivery|to deliver|mail)
    delivery (?:status notification|failure|failed|error|problem|report|notification|unsuccessful|has failed|incomplete|could not|delayed|impossible)
    (?:mail|message|e-?mail|your (?:mail|message|e-?mail)|the message)\b.{0,60}(?:undeliver\w*|not (?:be )?deliver\w*|delivery|returned|failed|failure|rejected|bounced?|non livr|blocked|could not|couldn't|cannot|error|delayed|status)
    automatically rejected
    undeliver
    non-?deliver
    not deliver
    returned (?:mail|e-?mail|message|to sender)
    return(?:ed)? (?:to )?sender
    bounced?\b
    mail (?:system error|delivery|error|failure|could|returned|status|rejected)
    nondeliverable
    non remis
    (?:mail |system )?error(?: sending|: | in)
    user unknown
    unknown (?:user|address|recipient)
    unzustellbar
    zustellung
    fehlgeschlagen
    nicht zustellbar
    nicht zugestellt
    rückläufer
    (?:échec|echec|non[- ]remis|impossible de)
    correo no
    no (?:se )?(?:ha )?entregad
    mensaje (?:de )?(?:no|devuelto|rechazado)
    fallo
    error al
    devuelto
    mancata
    messaggio non
    mancato recapito
    recapito
    non recapitat
    n[aã]o (?:foi )?entreg
    falha
    falhou
    devolvid
    onbestelbaar
    niet (?:be)?zorg
    aflevering
    kan niet
    niedostarczon
    nie dostarczono
    zwrot
    nedoruč
    obest
    olever
    levering
    leverans
    kunne ikke
    недостав
    не доставл
    ошибка доставки
    возврат
    メール.{0,15}(?:エラー|不達|配信)
    配信(?:不能|エラー|失敗)
    未達
    返送
    退信
    无法(?:投递|送达)
    投递失败
    邮件.{0,10}(?:退回|失败)
    무효
    반송
    전송 ?실패
    delivery
    warning.{0,30}(?:mail|message|deliver)
    (?:virus|spam|content|attachment|policy|message)\b.{0,30}(?:block|reject|violat|detect)
    message status
    considered unsolicited
    blocked
    deferred
    notification d'état
    report
    rejected
    automatic notification
    (?:your|the) message to .{0,80}(?:considered|not|could|fail|reject|block)
    nachricht
    """,
    # each sign is read one way, so that a row of them takes linear time: empty brackets and signs, one tag, more signs
    before=r"^(?>(?:\[\W{0,40}\]|[^\w\[]|_)*)(?:\[[^\]]{1,40}\]\W*+|[\W_]*+)",
    ignore_case=True,
)
_DELAY_SUBJECT = re.compile(
    r"(?i)\bdelay|\bdeferred\b|still being retried|could not (?:be )?(?:send|sent|deliver)\w* (?:message )?(?:for|in the)(?: the)? (?:past|last)|not yet (?:been )?deliver|temporar\w+ .{0,30}(?:fail|undeliver|problem)|verzögert|retardé|retras|ritard|opóźni|задерж|遅延"
)
_DELAY_TEXT = any_of(
    r"""
    has been delayed
    this is a warning (?:message )?only
    you do ?n(?:o|')t need to re-?send
    no need to (?:re-?send|retransmit)
    no action is required on your part
    delivery (?:attempts )?will continue
    will (?:continue to |keep |be )(?:try(?:ing)?|retr(?:y|ied)|attempt)
    still (?:trying|being|being retried)
    has not yet been (?:delivered|collected)
    not yet been delivered
    will be retried
    will continue (?:to be )?(?:retr|tried|trying|for)
    (?:will|shall) (?:re)?try (?:again|to|for)
    delivery .{0,30}(?:delayed|deferred)
    further attempts will
    warning message only
    message is delayed
    keep trying
    still in the queue
    wird weiter(?:hin)? versucht
    """,
    ignore_case=True,
)
_GIVEN_UP = re.compile(
    r"(?i)permanent(?:ly)?\b.{0,40}(?:error|fail|fatal)|given up|giving up|has failed|have failed|could not be delivered to (?:one or more|the following|any)|returned (?:to|un)|(?:no|not) (?:further|more) (?:attempts|be tried)|unable to deliver your message"
)
_SENTENCE = any_of(
    r"""
    (?:could|can|cannot|can ?not|may|was|were|has|have|had|is|are|did|does|would|will|couldn'?t|wasn'?t|hasn'?t|can'?t|haven'?t)\s?(?:not|n't|n’t)? ?(?:be |been |have been |get )?(?:un)?(?:deliver\w*|sent to|reach(?:ed)?|return(?:ed)?\b.{0,30}(?:sender|undeliver|because|to you)|processed|forwarded|accepted|transmitted|bounced)
    automatically rejected
    undeliver(?:able|ed)
    non-?deliver
    deliver(?:y|ing)\b.{0,60}\b(?:fail\w*|error|problem|impossible|aborted|unsuccessful|not possible|status|suspended|attempt)
    fail(?:ed|ure|ing)?\b.{0,40}\b(?:deliver\w*|recipients?|address|to send|sending)
    unable to (?:deliver|send|find|process|reach|be delivered)
    (?:addresses|recipients?) (?:had|have|has|that|which|below|listed)?.{0,40}(?:fatal errors|failed|fail|errors?|problem|reject\w*)
    wasn't able to deliver
    not (?:be )?able to deliver
    returned (?:mail|message|to sender)
    message (?:was |is |has been )?(?:rejected|refused|returned|bounced|blocked|not sent)
    mail (?:was |is |has been )?(?:rejected|refused|returned|bounced|blocked)
    not (?:a )?valid (?:user|recipient|address|mailbox)
    user (?:unknown|not found|not known)
    unknown (?:user|recipient|address)
    no such (?:user|mailbox|recipient|address)
    recipient (?:unknown|not found)
    mailbox (?:is )?(?:full|not found|unavailable)
    over ?quota
    transcript of session
    \b[45]\d\d[ -](?:#?[45]\.\d\.\d )?\S
    [45]\.\d\.\d
    has been delayed
    is delayed
    was blocked
    wird weiter
    nicht zugestellt
    nicht (?:erfolgreich )?ausgeliefert
    konnte nicht
    konnten nicht
    unzustellbar
    fehlgeschlagen
    n'a (?:pas |pu )
    n'ont pas
    non (?:remis|distribu)
    impossible
    no (?:se )?(?:ha )?(?:podido|pudo|puede|fue)[ ]
    no (?:fue )?entregad
    non (?:è stato|e' stato|può|recapitat|consegnat)
    non (?:ha|sono)
    n[aã]o (?:p[oô]de|foi|pode)
    niet (?:worden )?(?:bezorgd|afgeleverd|besteld)
    kon niet
    nie (?:mógł|mogła|może|został|dostarcz)
    kunde inte
    kunne ikke
    nemohla
    не (?:может|удалось|была|было|доставлен)
    невозможно
    配信(?:でき|不能)
    送信できません
    届けることができません
    お届けでき
    届きません
    无法
    失败
    退回
    未能
    """,
    ignore_case=True,
)
_ORIGINAL = any_of(
    r"""
    [-=_*#~|][-=_*#~| ]++[^\n]{0,10}?(?:this is a copy of (?:the|your) message|below this line|(?:the )?(?:header|text|body|start|beginning|copy|content)s? of (?:the |your )?(?:original|message|returned)|original (?:message|mail|text|e-?mail)|message (?:header|text|body|headers|contents?)|unsent message|returned (?:message|mail)|undelivered message|your (?:original )?message|ursprüngliche|message d'origine|enclosed is|message follows|message source|oorspronkelijk|original)[^\n]{0,80}
    (?:the )?(?:text|headers?|body|content|copy|beginning|first \w+ \w+) of (?:the|your) (?:original |returned |e-?)?(?:message|mail)[^\n]{0,60}(?:follow|below|:)[^\n]{0,30}
    (?:your )?original (?:message|mail)(?: headers?| text)?(?: follows| is| was| attached| below)?[^\n]{0,20}:?\s*$
    (?:unsent )?message (?:text |header )?follows:?
    (?<![ \t])return-path:[^\n]*
    (?<![ \t])received: (?:from|by|\(|via|with)[^\n]*
    (?<![ \t])message-id: <[^\n]*
    -{2,} ?(?:original|forwarded|weitergeleitete|mensaje|message) [^\n]{0,40}
    (?<![ \t])mime-version: 1\.0
    (?<![ \t])dkim-signature:[^\n]*
    """,
    before=r"^[ \t>]*+",
    after=r"$",
    ignore_case=True,
    every_line=True,
)
_QUOTING = re.compile(
    r"(?im)^(?:>[^\n]*|on [^\n]{5,120} wrote:|am [^\n]{5,120} schrieb[^\n]*|le [^\n]{5,120} a écrit ?:|from: [^\n]{3,200}\n(?:sent|date|to): )"
)
_NOT_A_RECIPIENT = any_of(
    r"""
    contact
    (?:please|you (?:can|may)|should|further|assist|help|question|info\w*).{0,60}(?:e-?mail|mail|send|forward|write|reply|call)
    send (?:a )?(?:mail|e-?mail|message|copy|it)
    forward(?:ed)? (?:the|this|it|to)
    web-?master
    help-?desk
    \babuse\b
    support
    ^\W*from\W
    \bsender\b
    reply-?to
    envelope-from
    message-?id
    sent by\b
    message (?:that )?you sent (?:from|by)
    generated from
    expanded from
    x-postfix
    return-path
    mailto:
    received
    administrator
    problem report
    if you (?:believe|feel|think|do so|have)
    <<< 2
    >>> mail from
    helo
    on behalf
    originat
    postmaster
    absender
    expéditeur
    mittente
    remitente
    (?:mail|message) from\b
    your (?:mail|message) of
    dear
    sorry \S+@
    hello
    reporting-mta
    gecontact
    subject:
    """,
    ignore_case=True,
)
_CLEARLY = any_of(
    r"""
    \brcpt to
    \bto
    recipients?
    address(?:es)?
    users?
    mail ?box(?:es)?
    \bfor
    account
    failed
    destinat\w+
    empfänger
    adressat
    undeliverable
    deliver\w*
    an
    à
    para
    odbiorca
    unknown
    person
    delivered
    получатель
    宛先
    收件人
    original-recipient
    final-recipient
    ziel\w*
    addressee
    alias
    member
    intended
    local
    reached?
    id
    """,
    after=r"\b[^@\n]{0,60}$",
    ignore_case=True,
)


_ANSWER = re.compile(r"(?i)(?:re|aw|fwd?|wg|antw|sv|tr|rv|odp)\s*:")
_MOST_LOOKS = 300  # at addresses; fifty recipients are taken
_HEADER = re.compile(r"(?i)[ \t>]*(?:to|cc)[ \t]*:")


@dataclass(frozen=True)
class Named:
    """A recipient and the words that stand with it."""

    recipient: str
    words: str


def before_the_original(text: str) -> str:
    """What the server itself wrote: the text in front of the returned message, without lines that quote."""
    found = _ORIGINAL.search(text)
    while found and not text[: found.start()].strip():
        found = _ORIGINAL.search(text, found.end())
    return text[: found.start()] if found else text


def is_signed_by_a_server(mail: Part) -> bool:
    """Whether the sender's name or address is one that mail servers use."""
    return bool(_DAEMON.search(f"{mail.get('from')} {mail.get('sender')}"))


def is_from_a_server(mail: Part) -> bool:
    """Whether a mail server sent it: it signs so, or the return path is empty (RFC 5321 4.5.5)."""
    if is_signed_by_a_server(mail) or mail.get("x-failed-recipients"):
        return True
    return mail.get("return-path").strip() == "<>" or not mail.get("from").strip(" <>")


def is_passed_on(mail: Part) -> bool:
    """Whether a person answers or forwards something: what it quotes is not news."""
    return _ANSWER.match(mail.get("subject").strip()) is not None and not is_from_a_server(mail)


def is_bounce(mail: Part, words: str) -> bool:
    """Whether this free text is a server's report. A person's reply is none, even when it quotes or forwards one."""
    subject = mail.get("subject").strip()
    if mail.get("x-failed-recipients"):
        return True
    if is_passed_on(mail):
        return False
    own = _QUOTING.split(words)[0]
    named = bool(_SUBJECT.match(subject))
    if is_signed_by_a_server(mail):
        return named or bool(_SENTENCE.search(own[:6000]))
    if is_named_an_answer(mail):
        return False
    if any(mail.get(name) for name in _LIST_FIELDS) and not _PLAIN_SUBJECT.match(subject):
        return False  # a list's mail, unless it is the list to which the bounce came
    says = bool(_SENTENCE.search(own[:6000]))
    if is_from_a_server(mail):
        return says and (named or bool(_PLAINLY.search(own[:2000])))
    return named and says and bool(_PLAINLY.search(own[:2000])) and not mail.get("in-reply-to")


_LIST_FIELDS = ("list-unsubscribe", "list-id", "feedback-id")
_PLAIN_SUBJECT = re.compile(
    r"(?i)\W*(?:returned (?:mail|e-?mail|message)|undeliver(?:ed|able) (?:mail|message)|failure notice|delivery status notification"
    r"|(?:mail|message|e-?mail) (?:delivery )?(?:failed|failure|could not be delivered|not delivered)|delivery (?:failure|failed))"
)
_PLAINLY = any_of(
    r"""
    (?:your|the|this|following|a) (?:e-?mail|mail|message)\b.{0,160}(?:not (?:be )?(?:deliver|sen[dt]|reach|accept)|undeliver|fail|reject|return|bounc|block|refus|delay)
    deliver\w*\b.{0,60}(?:fail|impossible|problem|error|not possible|unsuccessful|recipients?)
    (?:un)?able to deliver
    undeliver
    failed recipients?
    requested action (?:not taken|aborted)
    automatically rejected
    that'?s not a valid
    no such (?:user|mailbox|address)
    user (?:unknown|not found)
    unknown (?:user|recipient|address)
    mailbox (?:is )?full
    over quota
    (?:fatal|permanent) error
    transcript of session
    returned to (?:you|sender)
    (?:not|nicht|n'a|no|non|não|niet|nie|не)\b.{0,60}(?:zugestellt|zustellen|ausgeliefert|distribu|remis|entreg|consegn|recapit|bezorgd|dostarcz|достав)
    unzustellbar
    no longer (?:valid|in use|active|exists)
    does(?: not|n't) exist
    配信
    お届け
    退回
    无法
    失败
    """,
    ignore_case=True,
)


def is_delay(mail: Part, words: str) -> bool:
    """A notice that the server is still trying. Nothing is decided yet."""
    if _GIVEN_UP.search(words) and not _DELAY_SUBJECT.search(mail.get("subject")):
        return False
    return bool(_DELAY_SUBJECT.search(mail.get("subject")) or _DELAY_TEXT.search(words[:5000]))


def named_in(mail: Part, words: str, sender: set[str]) -> list[Named]:
    """The recipients a free text tells of, each with the words up to the next; at most fifty."""
    failed = _addresses(", ".join(mail.all("x-failed-recipients")))
    lines = words.splitlines()[:600]
    clear: dict[str, int] = {}
    vague: dict[str, int] = {}
    looks = _MOST_LOOKS
    for number, line in enumerate(one[:1000] for one in lines):
        speaks_to_us = _speaks_to_us(line)
        for found in islice(_ADDRESS.finditer(line), looks):
            looks -= 1
            address = found[0].strip(".-")
            if (
                address.lower() in sender
                or _is_postmaster(address)
                or "://" in line[: found.start()][-120:].split(" ")[-1]
            ):
                continue
            before = line[: found.start()]
            if _NOT_A_RECIPIENT.search(before[-120:]) or (not before.strip(" <\"'*-\t(") and speaks_to_us):
                continue
            begins = not before.strip(" \t<\"'*->([{.:#0123456789") or bool(_CLEARLY.search(before[-120:]))
            is_of_a_header = _HEADER.match(before) is not None  # the returned message's own, told by some servers
            (clear if begins and not is_of_a_header else vague).setdefault(address, number)
    if failed:
        clear = {address: clear.get(address, vague.get(address, 0)) for address in failed}
    chosen = clear or dict(list(vague.items())[:1])
    return _with_words(chosen, lines)


def named_without_a_domain(mail: Part, words: str) -> list[Named]:
    """AOL and others name only the mailbox, on a line of its own; its domain is the server's that writes."""
    domain = mail.get("from").rpartition("@")[2].strip("> ").lower()
    mailbox = re.findall(r"(?m)^[ \t]*<?([a-z0-9][a-z0-9._-]{2,40})>?[ \t]*$", words)
    return [Named(f"{mailbox[0]}@{domain}", words)] if domain and len(mailbox) == 1 else []


def _with_words(chosen: dict[str, int], lines: list[str]) -> list[Named]:
    known: dict[str, tuple[str, int]] = {}
    for address, number in chosen.items():
        known.setdefault(address.lower(), (address, number))
    order = sorted(known.values(), key=lambda one: one[1])[:50]
    named = []
    for at, (address, number) in enumerate(order):
        until = order[at + 1][1] if at + 1 < len(order) else len(lines)
        named.append(Named(address, "\n".join(lines[number : max(until, number + 1)])))
    return named


def _addresses(text: str) -> list[str]:
    return [found[0].strip(".-") for found in _ADDRESS.finditer(text[:20_000])]


def _is_postmaster(address: str) -> bool:
    return address.lower().partition("@")[0] in (
        "mailer-daemon",
        "postmaster",
        "mailerdaemon",
        "mail-daemon",
        "abuse",
        "root",
        "helpdesk",
        "support",
    )


def _speaks_to_us(line: str) -> bool:
    return bool(re.search(r"(?i)\b(?:for (?:more|further)|if you|please (?:contact|call))\b", line))


def replied_lines(words: str) -> str:
    """The lines in which the remote server speaks, where a text marks them: they outrank the relay's own summary."""
    reasons = re.findall(r"(?m)^[ \t]*\(?reason: ?(.+(?:\n[ \t]{4,}\S.*){0,3})", words)
    if reasons:
        return " ".join(reasons)
    spoken = [line for line in re.findall(r"(?m)^[ \t]*<<< ?([45]\d\d.*)", words) if not re.match(r"503", line)]
    if spoken:
        return " ".join(spoken)
    said = re.search(
        r"(?is)\b(?:said|responded|replied|respon[sd]e|answered|remote host said|error was|reason|diagnostic(?: code)?|server returned|failed with|message from \S+)\b ?(?:was|is|to \w+ command)?:?\s+(?:smtp;)?\W{0,5}([45]\d\d.{3,600})",
        words,
    )
    return said[1] if said else ""
