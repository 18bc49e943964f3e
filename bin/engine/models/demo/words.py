"""Word lists that fill the {slots} of topics.txt."""

_RAW = {
    "country": """France|Germany|Spain|Italy|Japan|China|India|Brazil|Canada|Australia|Egypt|Norway|Sweden|Poland|Greece|
        Turkey|Mexico|Peru|Chile|Kenya|Nigeria|Russia|Ukraine|Austria|Switzerland|Belgium|Portugal|Ireland|Scotland|
        England|the USA|the United States|the UK|Denmark|Finland|Iceland|Hungary|Romania|Vietnam|Thailand|Korea|Cuba|
        Argentina|Morocco|Israel|Iran|Iraq|Pakistan|Nepal|Mongolia|Europe|Africa|Asia|America|the Netherlands|Texas""",
    "city": """Paris|Berlin|London|Rome|Madrid|Tokyo|New York|Moscow|Vienna|Munich|Hamburg|Sydney|Cairo|Oslo|Athens|
        Beijing|Chicago|Boston|Lisbon|Prague|Warsaw|Dublin|Zurich|Amsterdam|Brussels|Istanbul|Delhi|Bochum|Toronto""",
    "person": """Albert Einstein|Isaac Newton|Barack Obama|Donald Trump|Angela Merkel|Napoleon|Julius Caesar|Cleopatra|
        Shakespeare|Goethe|Mozart|Beethoven|Bach|Michael Jackson|Madonna|Elvis|Taylor Swift|Messi|Ronaldo|Pele|
        Steve Jobs|Bill Gates|Elon Musk|Alan Turing|Ada Lovelace|Marie Curie|Charles Darwin|Galileo|Leonardo da Vinci|
        Picasso|Van Gogh|Gandhi|Nelson Mandela|Martin Luther King|George Washington|Abraham Lincoln|Queen Elizabeth|
        King Charles|the Pope|Harry Potter|Sherlock Holmes|James Bond|Batman|Superman|Tom Hanks|Brad Pitt|Plato|
        Aristotle|Socrates|Kant|Karl Marx|Sigmund Freud|Columbus|Neil Armstrong|Tolkien|Jane Austen|Mark Twain|
        the president|the president of {country}|the king of {country}|the chancellor|Linus Torvalds|Satoshi|John Smith""",
    "thing": """apple|banana|dog|cat|horse|lion|tiger|elephant|whale|shark|bird|eagle|snake|spider|bee|ant|tree|flower|
        rose|mountain|river|ocean|sea|island|desert|forest|moon|sun|star|planet|Mars|Jupiter|Saturn|Earth|galaxy|
        black hole|universe|sky|rain|snow|wind|storm|earthquake|volcano|fire|water|ice|gold|silver|iron|diamond|oil|
        car|bicycle|train|plane|airplane|ship|boat|rocket|bridge|house|castle|tower|Eiffel Tower|pyramid|wall|road|
        city|village|school|university|hospital|church|museum|bank|money|euro|dollar|bitcoin|stock market|tax|company|
        job|doctor|teacher|king|queen|president|parliament|democracy|war|World War II|First World War|
        French Revolution|Roman Empire|Middle Ages|history|culture|religion|Bible|philosophy|art|painting|Mona Lisa|
        music|guitar|piano|violin|song|opera|film|movie|Titanic|Star Wars|book|novel|Hamlet|newspaper|television|radio|
        telephone|phone|iPhone|computer|laptop|internet|website|email|software|hardware|Linux|Windows|Android|robot|
        blockchain|database|algorithm|programming|Python|Java|
        JavaScript|game|chess|football|soccer|tennis|basketball|Olympics|World Cup|swimming|running|yoga|dance|
        bread|cheese|pizza|pasta|cake|chocolate|coffee|tea|beer|wine|milk|egg|rice|potato|tomato|onion|salt water|sugar|
        meat|fish|chicken|soup|salad|sandwich|breakfast|dinner|kitchen|garden|table|chair|bed|door|window|lamp|clock|
        mirror|knife|bottle|bag|shoe|shirt|hat|ring|toy|ball|doll|gift|letter|pen|paper|pencil|picture|photo|camera|
        heart|brain|blood|bone|skin|eye|ear|nose|hand|foot|tooth|muscle|virus|bacteria|vaccine|medicine|aspirin|
        cancer|diabetes|sleep|dream|fear|love|happiness|friendship|family|child|baby|mother|father|brother|sister|
        wedding|party|birthday|Christmas|Easter|holiday|vacation|hotel|beach|passport|airport|ticket|map|language|
        grammar|word|alphabet|number|zero|circle|triangle|square|geometry|algebra|statistics|energy|electricity|light|
        sound|color|magnet|gravity|atom|electron|molecule|oxygen|hydrogen|carbon|plastic|glass|wood|stone|sand|climate|
        weather|season|summer|winter|spring|autumn|year|day|night|time|space|dinosaur|dragon|ghost|unicorn|wizard|
        penguin|bear|wolf|fox|rabbit|mouse|cow|pig|sheep|frog|turtle|butterfly|fly|mosquito|mushroom|grass|rainbow""",
    "science": """quantum mechanics|quantum computing|relativity|the theory of relativity|photosynthesis|evolution|
        gravity|DNA|the big bang|black holes|climate change|inflation|the water cycle|entropy|thermodynamics|
        plate tectonics|the immune system|the French Revolution|World War II|the Cold War|blockchain|object oriented programming|recursion|linear algebra|calculus|probability|
        Bayes theorem|string theory|supply and demand|capitalism|communism|democracy|stoicism|existentialism|
        the Pythagorean theorem|prime numbers|electricity|magnetism|nuclear fusion|photons|the periodic table|
        global warming|renewable energy|the solar system|natural selection|genetics|psychology|game theory|REST|
        HTTP|HTML|the DNS|TCP|a compiler|an operating system|a transformer model|Bitcoin""",
    "task": """lose weight|learn English|learn to cook|sleep better|make money|become rich|find a job|write a book|
        tie a tie|boil an egg|bake a cake|change a tire|fix my car|paint a wall|plant a tree|train a dog|get married|
        make friends|save money|buy a house|learn Python|play chess|play the guitar|sort numbers|add two numbers|
        read a csv file|print the date|count words|reverse a string|find prime numbers|download a file|send an email|
        get fit|run a marathon|stop smoking|travel to {country}|cook rice|clean my room|remove a stain|study for an exam|
        start a company|sell my car|learn to drive|speak in public|be happy|find love|get up early|make coffee|
        build a table|write a letter|win a game|draw a cat|sing|dance|swim|calculate an average|scrape a website|
        make pancakes|make a cake|cook pasta|make bread|repair a bike|grow tomatoes|learn to swim|impress my boss""",
    "name": """Anna|Ben|Clara|David|Emma|Felix|Greta|Hans|Ida|Jonas|Karl|Lena|Max|Nina|Otto|Paul|Rosa|Sam|Tina|Tom|Alice|
        Bob|Charlie|Eve|John|Mary|Peter|Julia|Maria|Ali|Mehmet|Yuki|Chen|Priya|Raj|Olga|Ivan|Sofia|Luca|Marie|Pierre|
        Alex|Chris|Kim|Lisa|Mark|Sarah|Laura|Michael|Thomas|Robert|James|Linda|Susan|Kevin|Daniel|Jan|Mia|Leo""",
    "foreign": "bonjour|hola|danke|merci|ciao|guten Tag|gracias|amigo|Schadenfreude|c'est la vie|carpe diem|grazie|arigato",
    "day": "Monday|the weekend|Friday|the next full moon|Thanksgiving|Halloween|carnival|the election|the Olympics",
}

WORDS = {name: [" ".join(w.split()) for w in text.split("|")] for name, text in _RAW.items()}

SYSTEM_PROMPTS = [
    "You are a helpful assistant.",
    "You are a helpful assistant.",
    "You are a helpful assistant.",
    "You are a helpful, honest and harmless assistant.",
    "You are a friendly chatbot.",
    "You are an AI assistant. Answer briefly.",
    "Answer in one sentence.",
    "Be concise.",
    "You are the Privatemode assistant.",
    "You are an expert for confidential computing. Answer the questions of the user.",
    "You are a helpful assistant that answers questions about Privatemode.",
    "You are a coding assistant. Answer precisely and show examples.",
    "Please answer politely and in English.",
    "You are a large language model. Follow the user's instructions carefully. Respond using markdown.",
    "You are an assistant running inside a trusted execution environment. Keep answers short and clear.",
    "Today is a nice day. You help users of our company with their questions. Do not invent facts.",
    "Du bist ein hilfreicher Assistent.",
    "You are a knowledgeable assistant. If you do not know something, say so.",
]

# Written with capitals in careful text (half of the time).
PROPER = """Privatemode OpenAI Anthropic NVIDIA AMD Intel GPU GPUs API TLS CPU TDX SEV-SNP OCSP SSE GGUF Rust Python English
    German French Spanish Italian Chinese Japanese Kubernetes Docker JetBrains Copilot Codex Apache AI KEM HPKE CLI JSON
    Linux GDPR NSA PDF Llama Gemma Qwen Mistral ChatGPT GPT Claude VM TEE""".split()
