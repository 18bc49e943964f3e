//! TCB info and QE identity as fields, written as Intel's service writes them.

/// A level that asks for one security version.
#[derive(Debug, Clone)]
pub struct IsvLevel {
    /// The version.
    pub isv_svn: u16,
    /// Intel's name of the status.
    pub status: String,
    /// Known weaknesses.
    pub advisories: Vec<String>,
}

/// A level of the platform.
#[derive(Debug, Clone)]
pub struct Level {
    /// Security versions of the SGX components.
    pub sgx: [u8; 16],
    /// Security version of the provisioning enclave.
    pub pce_svn: u16,
    /// Security versions of the TDX components.
    pub tdx: [u8; 16],
    /// Intel's name of the status.
    pub status: String,
    /// Known weaknesses.
    pub advisories: Vec<String>,
}

/// A TDX module's signer and attributes, in hexadecimal.
#[derive(Debug, Clone)]
pub struct Module {
    /// 48 bytes.
    pub mr_signer: String,
    /// 8 bytes.
    pub attributes: String,
    /// 8 bytes.
    pub mask: String,
}

/// TCB info version 3.
#[derive(Debug, Clone)]
pub struct TcbInfo {
    /// `TDX`.
    pub id: String,
    /// 3.
    pub version: u32,
    /// RFC 3339.
    pub issue_date: String,
    /// RFC 3339.
    pub next_update: String,
    /// Hexadecimal.
    pub fmspc: String,
    /// Hexadecimal.
    pub pce_id: String,
    /// 0.
    pub tcb_type: u32,
    /// How new the judgement is.
    pub evaluation_number: u32,
    /// Modules of major version 0.
    pub module: Module,
    /// Newer modules: `TDX_01` and so on.
    pub modules: Vec<(String, Module, Vec<IsvLevel>)>,
    /// The newest first.
    pub levels: Vec<Level>,
    /// Written at the end, with a comma before it.
    pub more: String,
}

/// QE identity version 2.
#[derive(Debug, Clone)]
pub struct QeIdentity {
    /// `TD_QE`.
    pub id: String,
    /// 2.
    pub version: u32,
    /// RFC 3339.
    pub issue_date: String,
    /// RFC 3339.
    pub next_update: String,
    /// How new the judgement is.
    pub evaluation_number: u32,
    /// Hexadecimal, 4 bytes.
    pub misc_select: String,
    /// Hexadecimal, 4 bytes.
    pub misc_select_mask: String,
    /// Hexadecimal, 16 bytes.
    pub attributes: String,
    /// Hexadecimal, 16 bytes.
    pub attributes_mask: String,
    /// Hexadecimal, 32 bytes.
    pub mr_signer: String,
    /// Product.
    pub isv_prod_id: u16,
    /// The newest first.
    pub levels: Vec<IsvLevel>,
}

impl IsvLevel {
    /// A level without advisories.
    pub fn new(isv_svn: u16, status: &str) -> Self {
        Self { isv_svn, status: status.to_owned(), advisories: Vec::new() }
    }

    fn json(&self) -> String {
        format!(r#"{{"tcb":{{"isvsvn":{}}},{}}}"#, self.isv_svn, part(&self.status, &self.advisories))
    }
}

impl Module {
    fn good() -> Self {
        Self { mr_signer: "00".repeat(48), attributes: "00".repeat(8), mask: "FF".repeat(8) }
    }

    fn json(&self) -> String {
        let Self { mr_signer, attributes, mask } = self;
        format!(r#""mrsigner":"{mr_signer}","attributes":"{attributes}","attributesMask":"{mask}""#)
    }
}

impl TcbInfo {
    pub(super) fn good() -> Self {
        let level = |tdx, status: &str, advisories: &[&str]| Level {
            sgx: [5, 5, 2, 2, 3, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0],
            pce_svn: 11,
            tdx,
            status: status.to_owned(),
            advisories: advisories.iter().map(ToString::to_string).collect(),
        };
        let mut old = [0; 16];
        (old[0], old[2]) = (3, 4);
        let mut new = [0; 16];
        (new[0], new[2]) = (5, 5);
        Self {
            id: "TDX".to_owned(),
            version: 3,
            issue_date: "2025-12-22T00:00:00Z".to_owned(),
            next_update: "2026-01-21T00:00:00Z".to_owned(),
            fmspc: "90C06F000000".to_owned(),
            pce_id: "0000".to_owned(),
            tcb_type: 0,
            evaluation_number: 20,
            module: Module::good(),
            modules: vec![
                ("TDX_03".to_owned(), Module::good(), vec![IsvLevel::new(3, "UpToDate")]),
                (
                    "TDX_01".to_owned(),
                    Module::good(),
                    vec![IsvLevel::new(5, "UpToDate"), IsvLevel::new(2, "OutOfDate")],
                ),
            ],
            levels: vec![
                level(new, "UpToDate", &[]),
                level(old, "OutOfDate", &["INTEL-SA-00002", "INTEL-SA-00001"]),
            ],
            more: String::new(),
        }
    }

    /// The object that is signed.
    pub fn json(&self) -> String {
        let Self { id, version, issue_date, next_update, fmspc, pce_id, tcb_type, evaluation_number, .. } =
            self;
        let modules: Vec<String> = self
            .modules
            .iter()
            .map(|(id, module, levels)| {
                format!(r#"{{"id":"{id}",{},"tcbLevels":[{}]}}"#, module.json(), list(levels, IsvLevel::json))
            })
            .collect();
        format!(
            r#"{{"id":"{id}","version":{version},"issueDate":"{issue_date}","nextUpdate":"{next_update}","fmspc":"{fmspc}","pceId":"{pce_id}","tcbType":{tcb_type},"tcbEvaluationDataNumber":{evaluation_number},"tdxModule":{{{}}},"tdxModuleIdentities":[{}],"tcbLevels":[{}]{}}}"#,
            self.module.json(),
            modules.join(","),
            list(&self.levels, Level::json),
            self.more,
        )
    }
}

impl Level {
    fn json(&self) -> String {
        let components = |svns: &[u8; 16]| list(svns, |svn| format!(r#"{{"svn":{svn},"category":"BIOS"}}"#));
        format!(
            r#"{{"tcb":{{"sgxtcbcomponents":[{}],"pcesvn":{},"tdxtcbcomponents":[{}]}},{}}}"#,
            components(&self.sgx),
            self.pce_svn,
            components(&self.tdx),
            part(&self.status, &self.advisories),
        )
    }
}

impl QeIdentity {
    pub(super) fn good() -> Self {
        Self {
            id: "TD_QE".to_owned(),
            version: 2,
            issue_date: "2025-12-23T00:00:00Z".to_owned(),
            next_update: "2026-01-22T00:00:00Z".to_owned(),
            evaluation_number: 21,
            misc_select: "00000000".to_owned(),
            misc_select_mask: "FFFFFFFF".to_owned(),
            attributes: "11000000000000000000000000000000".to_owned(),
            attributes_mask: "FBFFFFFFFFFFFFFF0000000000000000".to_owned(),
            mr_signer: "DC".repeat(32),
            isv_prod_id: 2,
            levels: vec![IsvLevel::new(4, "UpToDate"), IsvLevel::new(2, "OutOfDate")],
        }
    }

    /// The object that is signed.
    pub fn json(&self) -> String {
        let Self { id, version, issue_date, next_update, evaluation_number, .. } = self;
        let Self {
            misc_select, misc_select_mask, attributes, attributes_mask, mr_signer, isv_prod_id, ..
        } = self;
        format!(
            r#"{{"id":"{id}","version":{version},"issueDate":"{issue_date}","nextUpdate":"{next_update}","tcbEvaluationDataNumber":{evaluation_number},"miscselect":"{misc_select}","miscselectMask":"{misc_select_mask}","attributes":"{attributes}","attributesMask":"{attributes_mask}","mrsigner":"{mr_signer}","isvprodid":{isv_prod_id},"tcbLevels":[{}]}}"#,
            list(&self.levels, IsvLevel::json),
        )
    }
}

fn part(status: &str, advisories: &[String]) -> String {
    let mut text = format!(r#""tcbDate":"2025-05-14T00:00:00Z","tcbStatus":"{status}""#);
    if !advisories.is_empty() {
        text.push_str(&format!(r#","advisoryIDs":[{}]"#, list(advisories, |id| format!(r#""{id}""#))));
    }
    text
}

fn list<T>(entries: &[T], json: impl Fn(&T) -> String) -> String {
    entries.iter().map(json).collect::<Vec<_>>().join(",")
}
