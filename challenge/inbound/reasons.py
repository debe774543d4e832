"""What do a server's words mean? A table of patterns, most telling first; asked by the parser for each recipient.

Words decide, then the enhanced code (RFC 3463), never the basic one: 550 stands for a dead mailbox, a policy, a blocklist
or a full disk. Rules about the *sender* and the *route* come before "unknown", for "sender address rejected: user
unknown" says nothing against the person. Patterns see lower-case text without addresses, host names and links.
"""

from __future__ import annotations

import re
from functools import lru_cache

from challenge.inbound.patterns import any_of
from challenge.inbound.report import Hardness, Reason

_HARD = frozenset({Reason.user_unknown, Reason.domain_unknown, Reason.inactive})
_WHO = (
    r"(?:user|users|recipients?|mail ?box(?:es)?|mail-box|accounts?|addres+(?:es)?|alias(?:es)?|customer|subscriber|member|person"
    r"|employee|rcpt|destination|addressee|local ?part|username|userid|user ?name|mailing list|list|inbox|receiver)"
)

# (reason, pattern): the first that is found decides.
RULES: tuple[tuple[Reason, str], ...] = (
    (
        Reason.greylisted,
        r"""
        gr[ea]y-?\s?list
        temporarily deferred due to unknown sender
        please try again in \d+ (?:second|minute)
        (?:first|initial) (?:delivery )?attempt.{0,40}(?:deferred|later)
        early retry
        """,
    ),
    (
        Reason.rate_limited,
        r"""
        at a rate that
        too many (?:messages|mails?|e-?mails?|connections|recipients|sessions|concurrent|invalid)(?! (?:on|in) (?:the|his|her|this|server|mail))
        rate[- ]?(?:limit|control|throttl)
        throttl
        too many errors
        too fast
        too frequent
        exceeded (?:the |your |its )*(?:max\w* )?(?:number|rate|hourly|daily|sending|messaging|connection|recipient)
        (?:hourly|daily|sending) (?:sending |message )?(?:limit|quota)
        max(?:imum)? (?:number of )?(?:connections|messages|emails|recipients)
        limits? (?:on|for) (?:the )?number of
        sending limit
        receiving mail too quickly
        unusual (?:rate|traffic)
        mails? per (?:hour|day|minute)
        number of messages (?!in ).{0,30}exceed
        """,
    ),
    (
        Reason.authentication,
        r"""
        \bdmarc\b
        \bdkim\b
        \bspf\b
        sender policy framework
        domainkeys
        sender[- ]?id\b
        not (?:properly )?authenticated
        unauthenticated (?:e-?mail|mail|message)
        failed authentication
        is(?: not|n't) (?:allowed|authori[sz]ed|permitted) to send
        not (?:an? )?(?:allowed|authori[sz]ed|permitted) (?:sender|to use|to send)
        authentication (?:checks?|results?|level)
        envelope[- ]from .{0,30}(?:forged|spoof)
        spoof
        """,
    ),
    (
        Reason.reputation,
        r"""
        black[- ]?list
        block[- ]?list
        \bblocked (?:using(?! spam)|by(?! spam| content| virus| filter)|at\b|list)
        \bblock list
        \brbls?\b
        \bdns(?:bl|rbl|bls|wl)\b
        \bbl\b.{0,20}listed
        spamhaus
        spam ?cop
        sorbs
        barracuda
        proofpoint
        cloudmark
        senderbase
        sender ?score
        senderscore
        uceprotect
        njabl
        \bmaps\b
        invaluement
        talos
        abuse ?at
        abuseat
        trend ?micro
        backscatter
        spamrats
        mailspike
        reputation
        poor (?:sender|ip)
        bad (?:ip|host|sender|reputation)
        (?:ip|host|client|server|address|range|network|connection|sending)\b.{0,60}\b(?:is|was|has been|been|are|currently|found)\b.{0,20}\b(?:blocked|listed|banned|refused|denied|suspicious|dynamic|rejected)
        (?:client|remote) host .{0,80}(?:blocked|rejected|refused)
        temporarily blocked
        (?:temporarily|permanently) deferred
        complaints?\b
        blocked from sending
        (?:reverse|rdns|r-dns|\bptr\b|inverse)\b.{0,50}(?:dns|lookup|record|hostname|missing|fail|not|name|entry)
        no ptr
        cannot find your (?:reverse )?hostname
        cannot resolve your
        does not resolve
        dynamic (?:ip|address|host|dial)
        dial-?up
        residential
        unresolvable
        fix reverse
        invalid (?:helo|ehlo)
        helo (?:command )?(?:reject|invalid|name)
        bad helo
        messages? from .{0,60}(?:weren't|were not) sent
        part of their network is on
        connection (?:refused|rejected|denied|not accepted) (?:due to|because|for)
        connection (?:rejected|denied) (?:by|from)
        (?:access|connection)s? (?:denied|rejected|from your|from this) (?:ip|host|network|country|due)
        banned (?:sending|ip|host|address|client|sender)
        """,
    ),
    (
        Reason.policy,
        r"""
        sender (?:address|domain|verif\w*|verify|is|was|not|host|id)\b.{0,60}(?:reject|fail|unknown|invalid|denied|not (?:found|exist|valid|allowed|accept)|does(?:n't| not)|block|callout|resolv)
        (?:invalid|unknown|bad|unverified|unresolvable|rejected) sender
        sender (?:rejected|denied|refused|blocked|unknown|unauthori[sz]ed|verify failed|verification)
        (?:could not|cannot|can't|unable to) (?:be )?(?:verify|verified|verifying) (?:the )?(?:sender|return)
        domain of sender
        sender'?s? (?:domain|mailbox|address)
        your (?:e-?mail )?(?:address|domain) (?:has been|is|was) (?:block|black|reject|den|not (?:accepted|allowed))
        not accepting (?:any )?(?:mail|messages|e-?mail) from
        mail from .{0,30}(?:refused|rejected|not allowed|denied)
        only accepts? (?:mail|messages|e-?mail)s? from
        (?:not|only) (?:allowed|permitted|authori[sz]ed) (?:to|senders)
        restricted to (?:allowed|authenticated|certain|specific|internal)
        permission to (?:send|post|mail)
        resolver\.rst\.(?:notauth|restrict|auth)
        (?:sender|you) (?:is|are) not (?:a )?(?:allowed|authori[sz]ed|permitted|member|subscrib|on the|in the|pre-?approved)
        moderat(?:ed|ion|or)
        not accepting (?:mail|messages|e-?mail) with (?:attach|embed)
        accepts? only
        closed list
        whitelist
        white ?list
        safe ?list
        """,
    ),
    (
        Reason.loop,
        r"""
        mail(?:er)? ?loop
        routing loop
        loops? back
        loops? detected
        too many hops
        hop ?count
        looping
        loop:
        message loop
        redirection loop
        forwarding loop
        too many received
        maximum hop
        already has my delivered-to
        delivery loop
        """,
    ),
    (
        Reason.mailbox_full,
        r"""
        over ?-?quota
        quota (?:is |has been |was |limit |has )?(?:exceed|full|reached|violat|over|used)
        out of quota
        exceed\w* .{0,30}(?:quota|storage|mailbox size|disk|allowed space|space)
        zu ?viele? mails
        number of messages in .{0,40}(?:exceed|limit)
        too many (?:messages|mails) (?:on|in)\b
        quota exceeded
        (?:mail|disk|storage|mailbox|user|account|message|the|his|her|their|file system|soft|hard) ?quotas?\b
        exceeds? allowed quota
        (?:mail ?box|mail-?drop|inbox|mail ?folder|mail ?file|account|maildir|mailfile|disk|storage|user|recipient|partition|file ?system)\b(?:'s)?(?: mail ?box)?.{0,25}\b(?:is |are |was |over|temporarily )?\s*(?:full|over ?flow|overdrawn)\b
        mail ?box(?:full| size limit)
        mail ?size limit exceeded for
        full mail ?box
        mailbox_full
        (?:no|not enough|insufficient|out of|lack of|exceeded|low on) (?:\w+ ){0,2}(?:storage|disk|space|room)
        no space left
        storage (?:limit|space|allocation|is full|exceeded)
        resources? (?:temporarily )?(?:exceeded|insufficient)
        would exceed .{0,40}(?:quota|limit|mailbox)
        over (?:the )?(?:maximum )?(?:allowed|storage|disk|size) (?:quota|limit|space)
        user (?:has )?(?:too many|exhausted)
        mailbox exceeds
        allowed size of (?:his|her|the) mailbox
        has run out of
        too much mail
        maxim\w+ (?:mailbox|storage)
        overquota
        quotaexceeded
        mbox full
        mail box full
        is over its
        (?:postfach|mailbox|konto|speicher\w*).{0,30}(?:\bvoll|überfüllt|ueberfuellt|erschöpft|überschritten)
        (?:boîte|boite|bal\b|messagerie).{0,40}(?:pleine|saturée|dépass)
        quota .{0,20}(?:dépass|superad|excedid|überschr|excedent|superat|przekroczon)
        (?:buz[oó]n|casilla|cuenta).{0,30}(?:llen[oa]|lleno)
        casella .{0,30}piena
        caixa .{0,40}(?:cheia|lotada)
        skrzynka .{0,30}(?:pełna|przepełniona|pelna)
        переполнен
        почтовый ящик полон
        превышен[ао]? .{0,20}(?:квот|лимит|размер)
        容量.{0,10}(?:超|オーバー)
        一杯
        いっぱい
        邮箱.{0,8}(?:已满|空间不足)
        郵箱.{0,8}已滿
        """,
    ),
    (
        Reason.size,
        r"""
        (?:message|mail|e-?mail|body|data|content|attachment|file|header|it|is) (?:\w+ ){0,3}(?:too (?:big|large|long)|larger than|bigger than)
        too (?:big|large)\b
        size (?:limit|exceed|restrict)
        exceed\w* .{0,60}\bsize
        (?:max\w*|fixed|allowed|file) .{0,20}(?:message |mail )?size
        message (?:length|size) exceed
        size=
        \bmaximum (?:message|size|length)
        larger than
        message size
        sizelimit
        class=size
        size limit
        zu groß
        zu gross
        nachricht.{0,20}größe
        trop (?:gros|volumineux|grand)
        taille .{0,20}maxim
        demasiado grande
        tama[nñ]o .{0,20}(?:máxim|maxim|exced)
        troppo grande
        muito grande
        zbyt duż[ya]
        слишком больш
        превышает .{0,20}размер
        サイズ.{0,15}(?:超|制限|大)
        过大
        太大
        """,
    ),
    (
        Reason.network,
        r"""
        (?:host|domain) not found, try again
        (?:temporary|temporarily) .{0,20}(?:dns|lookup|name|resolution)
        servfail
        (?:malformed|unexpected) (?:or unexpected )?name ?server
        """,
    ),
    (
        Reason.domain_unknown,
        r"""
        null ?mx
        nxdomain
        \bhost unknown
        \bno such (?:domain|host)
        (?:couldn't|could not|cannot|unable to) find any host
        unrouteable mail domain
        host or domain name not found
        domain name not found
        name or service not known
        bad destination (?:host|system)
        """,
    ),
    (
        Reason.user_unknown,
        r"""
        \b<who>\b[^.;]{0,50}?\b(?:unknown|un-known|does ?n[o']?t exists?|do(?:es)? not exist|not exists?|not found|(?:not|never) (?:been )?(?:listed|known|valid|registered|recogni[sz]ed|here|on (?:this|our)|in (?:our|the|this|directory)|a (?:valid|known|user|registered|recipient|local)|configured|defined|created|provisioned|available at|local)|non-?existent|invalid|unrecogni[sz]ed|no longer (?:exists?|valid|here|on|a |at|with|works?|employed|works|hosted|accepted|associated)|could not be found|cannot be found|couldn'?t be found|can't be found|wasn't found|was not found|isn't (?:a |in |valid|known|found|listed)|aren't|is wrong|incorrect|misspelled|mistyped|has moved|moved|removed|deleted|terminated|expired|undeliverable address)
        \b(?:unknown|un-known|invalid|no such|non-?existent|bad|unrecogni[sz]ed|undefined|illegal|wrong|incorrect|unrouteable|unroutable|undeliverable|missing|no final|not a (?:valid|known)|no valid|no known|no active|non active|unidentified|nonexisting) (?:(?:e-?mail|mail|local|virtual|destination|to|final|delivery|smtp|internet|network) ){0,3}<who>\b
        \bno (?:mail ?box|mail box|user|account|recipient|one|person|such|matching|local mailbox|known|record) (?:\w+ ){0,3}(?:here|by that|with that|of that|for that|named|found|available|exists?|at this|called|name|matching|in )
        \bno such\b(?! domain| host)
        nosuchuser
        has no mail ?box
        user_unknown
        unknown[ _-]?(?:user|recipient|address|mailbox|account|local|rcpt)
        bad (?:recipient|destination mailbox)
        recipientnotfound
        recipnotfound
        resolver\.adr
        badrcptto
        bad rcpt
        not our customer
        not a customer
        isn't a customer
        doesn'?t (?:have|handle|host|know|like|recognize) (?:an? |any |this |that |the |mail for (?:this|that) )?(?:\S+ )?(?:e-?mail |mail )?(?:account|mailbox|user|recipient|address)
        doesn't have a yahoo
        does not have an? .{0,30}(?:account|mailbox|delivery point)
        have an? .{0,20}account \(
        user does not
        no (?:e-?mail|mail) (?:account|address|box)
        (?:e-?mail|mail) (?:account|address) .{0,40}(?:does not|doesn't|not) exist
        not? (?:a )?(?:valid|known|local) (?:user|recipient|mailbox|address|account)
        that'?s not a valid
        isn't (?:a )?(?:valid|known)
        don't have an account
        do not have an account
        address (?:is )?not recogni[sz]ed
        address (?:you (?:entered|typed|sent)|may (?:have|be)|is misspelled)
        check (?:the )?(?:spelling|recipient|address)
        verify the address
        recipient'?s? (?:e-?mail )?address (?:was|is) (?:not|in)
        not? listed in (?:domino|public|the) (?:directory|name)
        (?:name & address|address) book
        is not in my (?:control|directory)
        not in directory
        directory.{0,20}not found
        not (?:present )?in (?:the )?(?:global )?(?:address|directory)
        unable to (?:find|locate|look ?up) (?:the )?(?:recipient|user|mailbox|account)
        unrouteable address(?! \(dns)
        undeliverable address
        couldn'?t find (?:any|a) (?:user|mailbox|account)
        (?:could not|cannot|can't) (?:find|locate) (?:the )?(?:user|recipient|mailbox|address|account)
        user .{0,20}unavailable
        mailbox not (?:found|here|available|exist|local)
        mailbox unavailable(?! .{0,40}(?:policy|spam|block))
        mailbox (?:is )?not available
        no longer on (?:server|this)
        not found in
        (?:former|ex-?)\s?(?:employee|staff)
        left (?:the )?(?:company|organi[sz]ation)
        no longer (?:employed|work)
        relocated
        has (?:been )?moved to
        changed (?:his|her|their) (?:e-?mail )?address
        address (?:has )?changed
        new e-?mail address
        user has moved
        (?:recipient|user) moved
        user \w* ?unknown
        (?:user|account|mailbox|recipient) .{0,30}no longer
        unknown in (?:local|virtual|relay)
        user unknown
        (?:recipient|rcpt|address|user|to)[^.;]{0,20} rejected(?:$|[.;:,]? *(?:no account|$|\(|\[|unknown|recipient|address|does|user|invalid|not|non|access denied|undeliver|unverif))
        rejected recipient
        recipient address rejected: *(?:\S+ )?(?:access denied|undeliverable|unverified|user|recipient|unknown|invalid|no |not|address|mailbox|this|account)
        (?:empfänger|empfaenger|benutzer|postfach|adresse|konto)\b.{0,50}(?:unbekannt|nicht (?:gefunden|bekannt|vorhanden|existent|verfügbar|existiert|gültig)|existiert (?:leider )?nicht|ungültig)
        unbekannte[rs]? (?:empfänger|benutzer|adress)
        (?:destinataire|utilisateur|adresse|boîte|boite|compte)\b.{0,50}(?:inconnu|n'existe (?:pas|plus)|invalide|introuvable|inexistant)
        (?:usuario|destinatario|direcci[oó]n|cuenta|buz[oó]n|casilla)\b.{0,40}(?:desconocid|no existe|no (?:se )?(?:pudo|ha)? ?encontr|inv[aá]lid|inexistente|no (?:es )?v[aá]lid)
        (?:utente|destinatario|indirizzo|casella)\b.{0,40}(?:sconosciut|non (?:esiste|trovat|valid)|inesistente)
        (?:usu[aá]rio|destinat[aá]rio|endere[cç]o|conta|caixa)\b.{0,40}(?:desconhecid|n[aã]o (?:existe|encontrad)|inv[aá]lid|inexistente)
        (?:gebruiker|geadresseerde|ontvanger|adres|postvak)\b.{0,40}(?:onbekend|bestaat niet|niet (?:gevonden|bekend)|ongeldig)
        (?:odbiorca|użytkownik|uzytkownik|adres|konto|skrzynka|adresat)\b.{0,50}(?:nie istnieje|nieznan|nie zosta|niedostepne|niedostępne|nieprawidłow)
        nie ma takiego
        nie istnieje
        (?:mottagaren|användaren|adressen|modtageren|brugeren|mottakeren|vastaanottaja\w*)\b.{0,40}(?:finns inte|okänd|findes ikke|ukendt|ukjent|finnes ikke|ei löydy|tuntematon)
        (?:uživatel|adresát|příjemce|schránka)\b.{0,30}(?:neexistuje|neznám)
        нет такого
        не существует
        не найден
        неизвест(?:ный|ен) (?:пользователь|адрес|получатель)
        (?:存在しません|見つかりません|存在しない|ユーザー不明|宛先不明|あて先不明|宛先が|不明なユーザ)
        (?:用户|收件人|邮箱|帐号|账号|地址).{0,12}(?:不存在|未找到|无效|找不到)
        (?:用戶|收件人|郵箱|帳號).{0,12}(?:不存在|找不到)
        사용자.{0,10}(?:없|찾을 수)
        존재하지 않
        """,
    ),
    (
        Reason.inactive,
        r"""
        \b<who>\b[^.;]{0,60}?\b(?:in-?activ(?:e|ated)|disabled|suspended|de-?activated|discontinued|closed|locked|frozen|blocked|on hold|is not active|not (?:an )?active|no longer (?:active|in use|used|available|accept\w*|receiv\w*|monitored)|not activated|not enabled|abandoned|dormant|unused|barred|ceased|cancell?ed|retired|decommission\w*|archived|out of service|not (?:currently )?accept\w* (?:mail|messages|e-?mail|new|any|your)|(?:does|is|has|do|has been) (?:not|n't) (?:been )?(?:logged|accept\w*|receive\w*|receiving|paid))
        \b(?:inactive|disabled|suspended|deactivated|discontinued|closed|locked|expired|unused|non-?active) (?:e-?mail |mail |local )?(?:user|recipient|mail ?box|account|address|customer|subscriber)
        \[suspend\]
        account (?:has been |is )?(?:temporarily )?(?:disabled|suspended|locked|inactive)
        has been (?:inactive|idle|disabled|discontinued|suspended)
        not been (?:used|accessed|active) (?:for|in)
        has not (?:logged|accessed)
        user (?:is )?(?:inactive|disabled)
        mailbox disabled
        not accepting (?:any )?(?:new |further )?(?:mail|messages|e-?mail)
        no longer (?:accept|receiv)\w* (?:mail|messages|e-?mail)
        is no longer (?:available|active|in use|being)
        not currently (?:active|in use)
        (?:konto|postfach|adresse) .{0,30}(?:deaktiviert|gesperrt|inaktiv|geschlossen|stillgelegt)
        compte .{0,30}(?:désactivé|suspendu|fermé|inactif|bloqué)
        cuenta .{0,40}(?:deshabilitada|desactivada|suspendida|inactiva|cancelada|bloqueada)
        (?:account|casella) .{0,30}(?:disabilitat|disattivat|sospes)
        conta .{0,30}(?:desativada|suspensa|inativa|bloqueada)
        konto .{0,30}(?:nieaktywn|zablokowan|zawieszon)
        заблокирован
        отключ[её]н
        неактив
        停止(?:され|中)
        无法接收
        已停用
        被禁用
        已被(?:冻结|停用)
        """,
    ),
    (
        Reason.domain_unknown,
        r"""
        (?:host|domain|destination|system|site|server|mx)\b(?: or domain)?(?: name)?[^.;]{0,40}?\b(?:unknown|not found|does ?n[o']?t exist|do not exist|not exist|non-?existent|nonexistent|couldn'?t be found|could not be found|was not found|cannot be found|invalid|no longer|not (?:known|registered|resolvable|valid))
        (?:unknown|no such|nonexistent|non-?existent|invalid|bad|illegal) (?:e-?mail |mail |destination |internet |recipient )?(?:domain|host|site|system|tld)\b
        \bunrouteable mail domain
        unrouteable address
        nxdomain
        nullmx
        null mx
        no (?:mx|mail exchange|a record|dns record|valid mx|hosts? found|mail ?servers?)\b
        name or service not known
        non-existent (?:hostname|domain)
        domain (?:has|does not|doesn't|is|cannot) .{0,30}(?:mx|no mail|not have|expired|accept|exist|resolve)
        does not accept mail \(?(?:null|mx)
        no address associated
        (?:couldn'?t|could not|cannot|unable to) (?:find|resolve|locate) (?:any |a |an )?(?:host|domain|dns|mail ?server|mail exchange|the domain|exchange)
        dns (?:error|lookup).{0,30}(?:nxdomain|non-?exist|not exist|not found|unknown)
        mx record .{0,30}(?:not|no|invalid|missing)
        host ?unknown
        hostnotfound
        domain.{0,20}(?:inconnu|unbekannt|no existe|desconocid|sconosciut|non esiste)
        no such domain
        domain name not found
        all relevant mx records point to non-existent
        only mx record.{0,20}0 \.
        домен .{0,20}не (?:существует|найден)
        ドメイン.{0,20}(?:存在|見つ)
        域名.{0,10}(?:不存在|错误)
        """,
    ),
    (
        Reason.content,
        r"""
        \bspam
        \bunsolicited
        \bube\b
        \buce\b
        bulk (?:e-?mail|mail)
        junk
        \bvirus
        malware
        infected
        \bcontent\b(?!-)
        phish
        executable
        attachments? (?:is |are |not |type|reject|block)
        \bbanned\b
        profan
        offensive
        \buribl
        \bsurbl
        \burl\b.{0,40}(?:list|block)
        (?:message|mail|e-?mail) (?:was |has been |is |body |content |text )?(?:rejected|refused|blocked|denied|filtered|quarantin\w+|failed .{0,30}check)
        score
        scanner
        filter
        bayes
        heuristic
        suspicious
        prohibited (?:content|file)
        (?:header|subject|line|mime|8-?bit|character set|charset|encoding|format|from|syntax|date)\b.{0,40}(?:not allowed|malformed|invalid|illegal|missing|unacceptable|reject|error|too long)
        conversion (?:required|not supported)
        message format
        considered (?:as )?(?:spam|junk)
        mass[- ]?mail
        bad header
        antispam
        looks like
        pattern
        rejected by .{0,30}(?:rule|milter|amavis)
        垃圾
        迷惑メール
        スパム
        """,
    ),
    (
        Reason.policy,
        r"""
        \bpolic(?:y|ies)\b
        relay(?:ing)?\b.{0,40}(?:denied|not permitted|prohibited|not allowed|disallowed|refused|reject\w*|forbidden|declin\w*|block\w*|unauthori[sz]ed|access)
        (?:not|unable to|cannot|can't|won't|don't|no|we do not|do not) relay
        as a relay
        open relay
        rcpthosts
        not (?:a )?gateway
        unauthori[sz]ed
        not authori[sz]ed
        authori[sz]ation
        administrativ\w* (?:prohibit\w*|deni\w*|reject\w*|block\w*)
        authentication (?:is )?(?:required|failed)
        must (?:authenticate|issue)
        confirmation
        requires? confirm
        transport\.rules
        tls (?:is )?required
        requires? (?:tls|encryption|starttls)
        encryption
        """,
    ),
    (
        Reason.expired,
        r"""
        retry time(?:out)?
        (?:delivery time|message|mail|queue\.) ?(?:has )?expired
        queue\.expired
        """,
    ),
    (
        Reason.network,
        r"""
        connect(?:ion|ing|ed)?\b.{0,50}(?:timed? ?out|refused|reset|closed|lost|fail\w*|dropped|broken|terminated|unavailable|unsuccessful|error|not be established|was not)
        (?:could not|couldn't|cannot|can't|unable to|failed to) (?:connect|contact|reach|establish|open)
        no route to host
        able to (?:establish|connect)
        network (?:is )?(?:unreachable|error|down)
        host (?:is )?(?:unreachable|down|not responding|not reachable)
        timed? ?out
        time-?out
        not respond
        unreachable
        lost connection
        broken pipe
        i/o error
        read error
        write error
        server (?:is )?(?:down|busy|unavailable|not available)
        service (?:is )?(?:currently |temporarily )?(?:unavailable|not available)
        system (?:is )?(?:not accepting|unavailable|error|resources|config)
        temporar(?:y|ily) (?:\w+ )?(?:failure|error|problem|unavailable|suspended|lookup|rejected|local)
        internal (?:server )?error
        try (?:again )?later
        name service error
        lookup fail
        unable to lookup
        hosts? .{0,30}been failing
        resources temporarily
        configuration error
        local configuration
        insufficient system
        exit(?:ed)? (?:status|code)
        kein(?:e)? verbindung
        verbindung
        connexion
        conexi[oó]n
        connessione
        zeitüberschreitung
        délai
        tiempo de espera
        接続
        タイムアウト
        连接
        超时
        """,
    ),
    (
        Reason.expired,
        r"""
        expired
        too (?:old|long in queue)
        retry (?:timeout|time|limit)
        (?:delivery|message|queue) (?:time|timeout|lifetime|life)\b
        maximum (?:retr|time|attempts|delivery)
        queued? (?:too long|for too)
        in the queue (?:too|for)
        giv(?:en|ing) up
        not delivered (?:within|for)
        undeliver(?:ed|able) (?:for|after)
        could not be delivered (?:for|within|after)
        failing for a long time
        long time
        after \d+ (?:hours|days|attempts|tries)
        for (?:more than |the (?:last|past) )?\d+ (?:hours|days)
        \bdelay
        """,
    ),
)

# A plain "no": asked last, and a code that stands beside it knows better.
UNCLEAR: tuple[tuple[Reason, str], ...] = (
    (
        Reason.policy,
        r"""
        permission denied
        denied by
        prohibit
        forbidden
        not allowed
        not permitted
        disallow
        restrict
        \bblocked\b
        \bdenied\b
        refused by
        security
        not accepted
        unacceptable
        \b(?:mail|message|delivery) refused
        \brejected\b
        access (?:is )?(?:denied|rejected|refused|restricted)
        rejected (?:due|because|by|for|as)
        """,
    ),
    (
        Reason.network,
        r"""
        conversation
        name server
        nameserver
        dns
        tls
        ssl
        certificate
        handshake
        protocol
        lmtp
        pipe
        procmail
        maildrop
        child
        """,
    ),
)

_DETAIL: dict[str, Reason] = {
    "1.0": Reason.user_unknown,
    "1.1": Reason.user_unknown,
    "1.2": Reason.domain_unknown,
    "1.3": Reason.user_unknown,
    "1.4": Reason.user_unknown,
    "1.6": Reason.user_unknown,
    "1.7": Reason.policy,
    "1.8": Reason.policy,
    "1.9": Reason.policy,
    "1.10": Reason.domain_unknown,
    "2.1": Reason.inactive,
    "2.2": Reason.mailbox_full,
    "2.3": Reason.size,
    "2.4": Reason.policy,
    "3.1": Reason.mailbox_full,
    "3.2": Reason.network,
    "3.4": Reason.size,
    "3.5": Reason.network,
    "4.6": Reason.loop,
    "4.7": Reason.expired,
    "7.20": Reason.authentication,
    "7.21": Reason.authentication,
    "7.22": Reason.authentication,
    "7.23": Reason.authentication,
    "7.24": Reason.authentication,
    "7.25": Reason.reputation,
    "7.26": Reason.authentication,
    "7.27": Reason.policy,
    "7.28": Reason.rate_limited,
    "7.515": Reason.authentication,
    "7.509": Reason.authentication,
    "7.606": Reason.reputation,
    "7.511": Reason.reputation,
    "7.512": Reason.content,
}
_CLASSES = {"4": Reason.network, "6": Reason.content, "7": Reason.policy}

_COMPILED = tuple((reason, any_of(patterns, who=_WHO)) for reason, patterns in RULES)
_UNCLEAR = tuple((reason, any_of(patterns)) for reason, patterns in UNCLEAR)
_LINK = re.compile(r"(?:https?://|www\.)[^\s<>\"]*")
_LINK_WORD = re.compile(r"[?&]p=([a-z]+)")
_ADDRESS = re.compile(r"<[^<>\s]{0,320}@[^<>\s]{0,320}>|[^\s<>@\"(\[]{1,320}@[^\s<>@\"()\[\]]{1,255}")
_HOST = re.compile(
    r"\b(?:[a-z0-9_-]{1,63}\.){1,10}(?:[a-z]{2,24}|xn--[a-z0-9-]+)\b(?!\()|\[[0-9a-f.:]{3,45}\]|\b\d{1,3}(?:\.\d{1,3}){3}\b"
)
_KEEP = re.compile(r"resolver\.|transport\.|storedrv\.")
_BREAKS = re.compile(r"[\s_]+|(?<=\s)\d{3}-(?=\S)|[\"'`´‘’“”*=_]{2,}|[<>\[\]\"]")
_CODE = re.compile(r"[245]\.\d{1,3}\.\d{1,3}(?![\d.]{0,8}\d)")
_LONGEST = 3000


def plain(text: str) -> str:
    """The words without what could mislead: somebody may live at no-such-user@spam.example."""
    text = text[:_LONGEST].lower().replace("’", "'")
    text = _LINK.sub(lambda link: " ".join(_LINK_WORD.findall(link[0])) or " ", text)
    text = _ADDRESS.sub(" ", text)
    text = _HOST.sub(lambda host: host[0] if _KEEP.match(host[0]) else " host ", text)
    return _BREAKS.sub(" ", text).replace("  ", " ").strip()


def from_words(text: str) -> Reason | None:
    """What these words say, or None when no rule knows them. A mere "rejected" yields to the code that stands with it."""
    words = plain(text)
    reason, is_clear = _judged(words) if words else (None, False)
    if reason is None or is_clear:
        return reason
    code = from_status(code_in(text))
    return reason if code is None or code in _CLASSES.values() else code


@lru_cache(maxsize=4096)
def _judged(words: str) -> tuple[Reason | None, bool]:
    """The first rule that fits, and whether it is more than "no"."""
    for reason, pattern in _COMPILED:
        if pattern.search(words):
            return reason, True
    for reason, pattern in _UNCLEAR:
        if pattern.search(words):
            return reason, False
    return None, False


def from_status(status: str) -> Reason | None:
    """What an enhanced code says, or None when it says nothing ("other")."""
    level, _, detail = status.partition(".")
    if level not in ("4", "5") or (detail.endswith(".0") and detail[:1] in ("0", "2", "3", "5")):
        return None
    return _DETAIL.get(detail) or _CLASSES.get(detail[:1])


def code_in(text: str) -> str:
    """The first enhanced code in a text, or nothing."""
    for found in _CODE.finditer(text):
        before = text[found.start() - 1 : found.start()]
        if not before.isdigit() and before != ".":
            return found[0]
    return ""


def hardness_of(reason: Reason) -> Hardness:
    """Only a dead address is hard; all other reasons may pass."""
    return Hardness.hard if reason in _HARD else Hardness.soft
