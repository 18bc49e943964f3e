//! Is a quote genuine? The steps of `attestation.md` §4, in their order, each with its own error.
//!
//! Step 2 is most of [`Collateral::verify`](super::Collateral::verify); here it is asked again whether that is still
//! current. Steps 8 and 9 appraise what is genuine: `privatemode-manifest`.

mod error;

use sha2::{Digest as _, Sha256};

pub use error::VerifyError;

use super::chain;
use super::collateral::VerifiedCollateral;
use super::document::{QeIdentity, TcbInfo, TdxModule, level_of};
use super::evidence::{Evidence, PartStatus};
use super::pck::{Pck, SGX_EXTENSION};
use super::quote::Quote;
use super::report::{QeReport, TdReport};
use super::status::{Judgement, TcbStatus, Tolerance};
use crate::signature::{PublicKey, Scheme};
use crate::x509::Certificate;
use crate::{Genuine, UnixTime};

/// Common name of a platform's certificate.
const PCK: &str = "Intel SGX PCK Certificate";

/// Checks that a quote is genuine and its platform up to date, or tolerated. Whom it was made for is not asked here: see
/// [`Genuine::bound_to`].
///
/// # Errors
/// [`VerifyError`], whose [`step`](VerifyError::step) is the first that failed.
pub fn verify(
    quote: &[u8],
    collateral: &VerifiedCollateral,
    tolerance: &Tolerance,
    now: UnixTime,
) -> Result<Genuine<Evidence>, VerifyError> {
    // step 1: structure, lengths capped
    let quote = Quote::parse(quote).map_err(|source| VerifyError::Quote { source })?;
    // step 2: collateral, verified before, is current now
    let freshness = collateral
        .check_current(now)
        .map_err(|source| VerifyError::Collateral { source: Box::new(source) })?;
    // step 3: the PCK chain to Intel's root, none revoked
    let pck_certificate = verify_pck_chain(&quote, collateral, now)?;
    let pck = read_pck(&pck_certificate)?;
    // step 4: the quoting enclave, its key, its identity
    verify_qe_report(&quote, &pck_certificate)?;
    let quoting_enclave = verify_qe_identity(&quote.qe_report, &collateral.qe_identity)?;
    // step 5: the quote's signature
    verify_quote_signature(&quote)?;
    // step 6: the levels of platform and TDX module
    let platform = platform_level(&pck, &quote.body, &collateral.tcb_info)?;
    let tdx_module = module_level(&quote.body, &collateral.tcb_info)?;
    // step 7: their status
    let parts = [Some(&platform), Some(&quoting_enclave), tdx_module.as_ref()];
    let (tcb_status, advisories, tolerated) = judge(parts.into_iter().flatten(), tolerance)?;
    // step 1 again, asked last so that the weightier reason is named: no signature covers what stands behind the quote
    if let Some(at) = quote.padding.iter().position(|byte| *byte != 0) {
        return Err(VerifyError::Padding { at });
    }
    Ok(Genuine::new(Evidence {
        quote_version: quote.version,
        body: quote.body,
        qe_report: quote.qe_report,
        pck,
        pck_ca: collateral.pck_ca_kind,
        tcb_status,
        tolerated,
        advisories,
        tcb_date: platform.tcb_date,
        evaluation_number: collateral.evaluation_number(),
        platform,
        quoting_enclave,
        tdx_module,
        freshness,
    }))
}

/// Step 3.
fn verify_pck_chain(
    quote: &Quote<'_>,
    collateral: &VerifiedCollateral,
    now: UnixTime,
) -> Result<Certificate, VerifyError> {
    let refused = |source| VerifyError::PckChain { source };
    let [pck, ca, root] = chain::parse(quote.pck_chain_pem).map_err(refused)?;
    if ca.der() == collateral.pck_ca.der() && root.der() == collateral.root.der() {
        // the same bytes were verified with the collateral, and their validity with its currentness
        chain::verify_leaf(&pck, &ca, now).map_err(refused)?;
    } else {
        chain::verify(&[&pck, &ca, &root], &collateral.roots, now).map_err(refused)?;
    }
    if pck.common_name() != Some(PCK) || pck.is_ca() {
        return Err(refused(chain::misnamed("leaf", &pck)));
    }
    // by key, so that Intel may renew the certificate: a list speaks about the certificates of its own issuer only
    if ca.subject_der() != collateral.pck_ca.subject_der() || ca.spki_der() != collateral.pck_ca.spki_der() {
        return Err(VerifyError::OtherPckCa {
            quote: ca.common_name().map(str::to_owned),
            collateral: collateral.pck_ca_kind,
        });
    }
    chain::not_revoked("issuer", &ca, &collateral.root_crl).map_err(refused)?;
    chain::not_revoked("leaf", &pck, &collateral.pck_crl).map_err(refused)?;
    Ok(pck)
}

fn read_pck(certificate: &Certificate) -> Result<Pck, VerifyError> {
    let extension = certificate.extension(SGX_EXTENSION).ok_or(VerifyError::NoPckExtension)?;
    Pck::parse_extension(extension).map_err(|source| VerifyError::PckExtension { source })
}

/// Step 4: the platform says which enclave this is, and the enclave says which attestation key is its own.
fn verify_qe_report(quote: &Quote<'_>, pck: &Certificate) -> Result<(), VerifyError> {
    pck.public_key()
        .verify_fixed(Scheme::EcdsaSha256, quote.qe_report_bytes, quote.qe_signature)
        .map_err(|source| VerifyError::QeReportSignature { source })?;
    let bound = Sha256::new().chain_update(quote.attestation_key).chain_update(quote.auth_data).finalize();
    let (digest, rest) = quote.qe_report.report_data.split_at(bound.len());
    if digest != &bound[..] || rest.iter().any(|byte| *byte != 0) {
        return Err(VerifyError::AttestationKeyBinding);
    }
    Ok(())
}

/// Step 4: the enclave is Intel's quoting enclave.
fn verify_qe_identity(report: &QeReport, identity: &QeIdentity) -> Result<PartStatus, VerifyError> {
    if report.mr_signer != identity.mr_signer {
        return Err(VerifyError::QeSigner { found: report.mr_signer });
    }
    if report.isv_prod_id != identity.isv_prod_id {
        return Err(VerifyError::QeProduct { found: report.isv_prod_id, expected: identity.isv_prod_id });
    }
    if report.misc_select & identity.misc_select_mask != identity.misc_select {
        return Err(VerifyError::QeMiscSelect { found: report.misc_select });
    }
    // whatever mask Intel publishes: the host can read the attestation key of a debug enclave
    if report.debug() {
        return Err(VerifyError::QeDebug);
    }
    let masked = u128::from_le_bytes(report.attributes) & u128::from_le_bytes(identity.attributes_mask);
    if masked != u128::from_le_bytes(identity.attributes) {
        return Err(VerifyError::QeAttributes { found: report.attributes });
    }
    level_of(&identity.levels, report.isv_svn)
        .cloned()
        .ok_or(VerifyError::NoQeLevel { isv_svn: report.isv_svn })
}

/// Step 5.
fn verify_quote_signature(quote: &Quote<'_>) -> Result<(), VerifyError> {
    let key = PublicKey::from_p256_xy(quote.attestation_key)
        .map_err(|source| VerifyError::AttestationKey { source })?;
    key.verify_fixed(Scheme::EcdsaSha256, quote.signed, quote.signature)
        .map_err(|source| VerifyError::QuoteSignature { source })
}

/// Step 6: the first level that the platform reaches in every component.
fn platform_level(pck: &Pck, body: &TdReport, info: &TcbInfo) -> Result<PartStatus, VerifyError> {
    if pck.fmspc != info.fmspc {
        return Err(VerifyError::Fmspc { quote: pck.fmspc, collateral: info.fmspc });
    }
    if pck.pce_id != info.pce_id {
        return Err(VerifyError::PceId { quote: pck.pce_id, collateral: info.pce_id });
    }
    // modules with a major version are judged by their own identity: components 0 and 1 are theirs
    let module_components = if module_version(body) > 0 { 2 } else { 0 };
    let reaches = |have: &[u8; 16], need: &[u8; 16], from: usize| {
        have.iter().zip(need).skip(from).all(|(have, need)| have >= need)
    };
    info.levels
        .iter()
        .find(|level| {
            reaches(&pck.components, &level.sgx, 0)
                && pck.pce_svn >= level.pce_svn
                && reaches(&body.tee_tcb_svn, &level.tdx, module_components)
        })
        .map(|level| level.part.clone())
        .ok_or(VerifyError::NoTcbLevel {
            components: pck.components,
            pce_svn: pck.pce_svn,
            tee_tcb_svn: body.tee_tcb_svn,
        })
}

/// Step 6: the TDX module is Intel's, and the level of those that have one of their own.
fn module_level(body: &TdReport, info: &TcbInfo) -> Result<Option<PartStatus>, VerifyError> {
    let version = module_version(body);
    if version == 0 {
        return verify_module(body, &info.module).map(|()| None);
    }
    let (module, levels) = info.module_of_version(version).ok_or(VerifyError::ModuleUnknown { version })?;
    verify_module(body, module)?;
    let [isv_svn, ..] = body.tee_tcb_svn;
    let level = level_of(levels, isv_svn.into()).ok_or(VerifyError::NoModuleLevel { version, isv_svn })?;
    Ok(Some(level.clone()))
}

fn module_version(body: &TdReport) -> u8 {
    let [_, version, ..] = body.tee_tcb_svn;
    version
}

fn verify_module(body: &TdReport, module: &TdxModule) -> Result<(), VerifyError> {
    if body.mr_signer_seam != module.mr_signer {
        return Err(VerifyError::ModuleSigner { found: body.mr_signer_seam });
    }
    // a debug module reads every trust domain; the mask of genuine identities has all bits
    if body.seam_attributes.0 & module.attributes_mask != module.attributes {
        return Err(VerifyError::ModuleAttributes { found: body.seam_attributes });
    }
    Ok(())
}

/// Step 7: the worst status counts, with the advisories of all.
fn judge<'p>(
    parts: impl Iterator<Item = &'p PartStatus>,
    tolerance: &Tolerance,
) -> Result<(TcbStatus, Vec<String>, bool), VerifyError> {
    let mut status = TcbStatus::UpToDate;
    let mut advisories = Vec::new();
    for part in parts {
        status = status.worst(part.status);
        advisories.extend(part.advisories.iter().cloned());
    }
    advisories.sort_unstable();
    advisories.dedup();
    match tolerance.judge(status, &advisories) {
        Judgement::UpToDate => Ok((status, advisories, false)),
        Judgement::Tolerated => Ok((status, advisories, true)),
        Judgement::Refused if status == TcbStatus::Revoked => Err(VerifyError::TcbRevoked { advisories }),
        Judgement::Refused => Err(VerifyError::TcbStatus { status, advisories }),
        Judgement::AdvisoryNotListed(advisory) => Err(VerifyError::AdvisoryNotTolerated { status, advisory }),
    }
}

#[cfg(test)]
mod tests;
