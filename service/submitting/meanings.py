"""One line for each member that we send, as `columns` tells it [seed, doc].

By the member's path; the kind goes before where kinds differ.
"""

from __future__ import annotations

from collections.abc import Mapping

MEANINGS: Mapping[str, str] = {
    # invoices
    "uniqueSourceInvoiceId": "your own id of the invoice, never used twice",
    "invoiceNumber": "the number that stands on the invoice",
    "invoices:type": "PAYMENT_REMINDER [seed], NOTICE [doc]; others are sent as given",
    "originalInvoiceAmount": "the amount that was invoiced",
    "currency": "ISO 4217, for example NOK",
    "invoiceDate": "the day of the invoice",
    "dueDate": "the day until which it was to be paid",
    "collectionNoticeDate": "the day of the collection notice",
    "ocrReferenceNumber": "KID, the reference that the debtor pays with",
    "description": "what the item is about",
    "vat": "true or false; ask Amili what it means for you",
    "fees": "true or false; ask Amili what it means for you",
    "debtors.#.type": "PRIVATE, or COMPANY [assumed]",
    "debtors.#.firstname": "a person's first name",
    "debtors.#.lastname": "a person's last name",
    "debtors.#.name": "a company's name, or a person's whole name",
    "debtors.#.customerNumber": "your own number of the debtor",
    "debtors.#.identificationNumber": "national identity number, eleven digits",
    "debtors.#.organizationNumber": "organization number, nine digits",
    "debtors.#.dateOfBirth": "a person's day of birth",
    "debtors.#.emails.#.value": "an e-mail address",
    "debtors.#.phoneNumbers.#.countryCode": "the number's country",
    "debtors.#.phoneNumbers.#.originalValue": "the number as the debtor wrote it",
    "debtors.#.phoneNumbers.#.value": "a telephone number",
    "debtors.#.addresses.#.street": "street and number",
    "debtors.#.addresses.#.city": "the postal town",
    "debtors.#.addresses.#.zipCode": "the postal code",
    "debtors.#.addresses.#.countryCode": "the address's country",
    "claims.#.type": "what the part is: PRINCIPAL [seed]; others are sent as given",
    "claims.#.remainingAmount": "what of this part is still owed",
    "claims.#.description": "what the part is for",
    # payments and corrections
    "invoiceId": "Amili's id of the invoice",
    "payments:type": "DIRECT_PAYMENT [doc]; others are sent as given",
    "payments:amount": "what was paid",
    "corrections:amount": "by how much less is owed; more is owed when it is negative [assumed]",
    "paymentDate": "the day of the payment [assumed]",
    "reference": "the payment's reference [assumed]",
    "date": "the day of the correction",
}
