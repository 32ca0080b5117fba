//! What things are called. The lists decide the bytes of all feeds: a change needs a new
//! [`GENERATION`](crate::document::GENERATION).

pub(crate) const ACTS: [&str; 24] = [
    "Camela en concierto",
    "Pantomima Full",
    "Los Morancos",
    "Tributo a Juanito Valderrama",
    "Tom & Jerry <Live>",
    "Ólafur Arnalds",
    "Rock 'n' Roll \"Unplugged\"",
    "坂本龍一トリビュート",
    "Łąki Łan",
    "Motörhead – A Tribute",
    "Größenwahn & Söhne",
    "Het Nationale Ballet",
    "Σωκράτης Μάλαμας",
    "🎵 Sing-Along 🎤",
    "Théâtre de l'Été",
    "Ñandú y los Güeros",
    "5 > 4: The Quintet",
    "Å, Æ & Ø",
    "Чайковский: Щелкунчик",
    "אביב גפן",
    "Mariza canta Amália",
    "Swan Lake",
    "Comedy Night",
    "R&B; Soul &amp; Beyond",
];

pub(crate) const PLACES: [&str; 16] = [
    "Teatro Real",
    "Palau de la Música",
    "Sala Apolo",
    "Teatro Arriaga",
    "Auditorio de Tenerife",
    "Gran Teatre del Liceu",
    "Plaza de Toros",
    "Royal Hall",
    "Kleines Haus",
    "Salle Pleyel",
    "Blue Note",
    "Arena Sur",
    "Teatro Circo",
    "Café Central",
    "Estadio Norte",
    "Open Air",
];

pub(crate) const SUFFIXES: [&str; 7] = [
    "",
    "",
    "",
    " (new date)",
    " – Gira 2027",
    " [last tickets!]",
    " «sobretítulos»",
];

pub(crate) const ZONES: [&str; 10] = [
    "Platea",
    "Grada 2",
    "A28",
    "A42",
    "Amfiteatre",
    "Palco & Tribuna",
    "Gallinero",
    "Césped",
    "Front \"Golden\" Circle",
    "General",
];
