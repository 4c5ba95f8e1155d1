"""The tables of babytalk's words, plain strings, commonest words first; `lexicon` and `scene` read them.

The order is the frequency: a word at rank r of a list is drawn with weight 1 / (r + 4) (Zipf's law with a shift). A
verb names the nouns that can be its object, an adjective the kinds of noun that it can describe.
"""

# by kind of noun: word[/irregular plural][:gender]
NOUN_TABLE = {
    "person": """baby girl:f boy:m child/children friend man/men:m woman/women:f farmer:m teacher:f doctor lady:f
        king:m queen:f neighbor nurse:f baker:m princess:f prince:m fireman/firemen:m pirate:m sister:f brother:m
        witch:f fairy:f thief/thieves elf/elves clown dancer waiter:m giant:m""",
    "animal": """dog cat duck bear bird cow horse pig bunny mouse/mice frog lion monkey kitten puppy hen fox sheep/sheep
        elephant goose/geese wolf/wolves owl turtle goat pony tiger squirrel bee lamb calf/calves snake donkey penguin
        spider butterfly giraffe ox/oxen""",
    "toy": "ball book doll block puzzle kite balloon drum puppet crayon marble toy whistle bell robot",
    "food": """cookie apple banana egg cake carrot sandwich berry pancake pear cherry peach potato muffin tomato plum
        nut pea loaf/loaves""",
    "clothes": "hat shoe sock coat shirt boot mitten sweater scarf/scarves button pocket",
    "dish": "cup spoon plate bowl bottle fork pot knife/knives jar",
    "house": "box bed door chair table window basket bag blanket lamp pillow key clock drawer shelf/shelves towel",
    "body": "hand foot/feet nose tooth/teeth ear eye finger toe knee tummy",
    "nature": "tree flower leaf/leaves rock stick stone star cloud puddle nest bush shell feather acorn pond hill",
    "vehicle": "car truck boat bike bus tractor wagon plane sled",
    "place": """kitchen garden park house room farm barn zoo beach forest yard store school bedroom bathroom playground
        castle village""",
    "mass": "milk juice water bread soup honey cheese jam rice",
    "thing": "song",
    "name": """Mia:f Anna:f Lucy:f Emma:f Rosie:f Zoe:f Lily:f Nora:f Ella:f Ruby:f Kate:f Ivy:f
        Tom:m Ben:m Max:m Sam:m Leo:m Jack:m Noah:m Finn:m Oscar:m Luke:m Peter:m Theo:m""",
    "kin": "Mommy:f Daddy:m Grandma:f Grandpa:m",
}
# What is true of each child in every document: pet, pet's name, best friend, dearest toy, favourite food and colour.
PROFILES = {
    "Mia": "dog Rex Tom ball cookie red",
    "Tom": "cat Whiskers Mia truck apple blue",
    "Anna": "pony Spirit Lucy doll cake pink",
    "Ben": "dog Buster Sam kite banana green",
    "Lucy": "kitten Snowy Anna book berry yellow",
    "Max": "turtle Tank Leo robot pancake orange",
    "Emma": "bunny Clover Rosie puppet carrot purple",
    "Sam": "puppy Biscuit Ben drum sandwich blue",
    "Rosie": "hen Dotty Emma balloon egg red",
    "Leo": "frog Hopper Max boat muffin green",
    "Zoe": "mouse Pip Nora crayon pear brown",
    "Jack": "horse Thunder Noah wagon potato black",
    "Lily": "bird Sunny Ella bell cherry white",
    "Noah": "goat Billy Jack block nut yellow",
    "Nora": "duck Paddles Zoe sled plum blue",
    "Finn": "fox Rusty Oscar plane peach orange",
    "Ella": "lamb Cotton Lily whistle pea pink",
    "Oscar": "pig Truffle Finn car tomato brown",
    "Ruby": "squirrel Hazel Kate marble loaf red",
    "Luke": "goose Gus Peter tractor cookie green",
    "Kate": "owl Willow Ruby puzzle cake purple",
    "Peter": "calf Bruno Luke bike apple black",
    "Ivy": "donkey Clyde Theo toy muffin white",
    "Theo": "monkey Coco Ivy bus banana yellow",
}
# place | how one is in it | what lies around there: nouns, @kind all nouns of the kind | where it can lie
PLACE_TABLE = """
    kitchen | in the kitchen | @food @dish @food | on the table/in the bowl/under the chair/on the shelf/in the box
    bedroom | in the bedroom | @toy @clothes pillow blanket | under the bed/on the bed/in the box/behind the door
    garden | in the garden | @nature @toy ball | under the tree/behind the bush/near the flowers/in the basket
    park | at the park | @toy @vehicle @nature | near the pond/under the tree/on the hill/behind the rock
    farm | on the farm | @food @nature egg tractor | in the barn/behind the barn/in the basket/near the pond
    room | in the living room | @toy @house book | under the table/on the chair/behind the door/in the bag
    bathroom | in the bathroom | towel @toy @clothes @dish | on the chair/in the basket/under the towel/on the shelf
    zoo | at the zoo | balloon @food hat | near the window/behind the rock/in the bag/on the wagon
    beach | at the beach | shell stone @toy boat @food | near the boat/under the towel/in the bag/on the rock
    forest | in the forest | @nature @nature acorn | under the leaves/behind the tree/near the pond/in the nest
    yard | in the yard | @toy @vehicle stick | under the bush/behind the wagon/near the door/in the box
    store | at the store | @food @clothes @toy | on the shelf/in the bag/near the door/in the basket
    school | at school | book crayon @toy @clothes | on the table/under the chair/in the bag/on the shelf
    playground | at the playground | @toy @vehicle @clothes | near the tree/in the bag/behind the bush/on the hill
    castle | in the castle | @house @clothes key bell | on the bed/behind the door/in the box/near the window
    village | in the village | @food @vehicle @house | on the wagon/near the pond/behind the house/in the basket
"""
# Animals that tales are about: name and gender, species.
HEROES = """Bruno:m bear, Pippa:f mouse, Felix:m fox, Olive:f owl, Hugo:m elephant, Daisy:f cow, Milo:m monkey,
    Greta:f goose, Walter:m wolf, Tilly:f turtle, Leon:m lion, Poppy:f bunny, Frank:m frog, Bella:f hen, Otto:m penguin,
    Gigi:f giraffe"""

ADJECTIVES = {
    "person": "little happy good hungry tired sad silly kind old funny brave young sleepy angry shy",
    "name": "happy hungry good tired sad sleepy funny wet cold brave angry shy",
    "kin": "happy tired hungry kind busy funny sad angry",
    "mass": "cold warm white yummy sweet",
    "animal": "little big hungry brown furry black sleepy white soft funny wild old gentle happy tired gray",
    "toy": "red little new blue big green yellow pretty old shiny broken wooden round purple",
    "food": "big sweet yummy hot little fresh cold warm red green",
    "clothes": "warm red new blue wet dirty soft green little pretty old clean yellow pink",
    "dish": "clean little blue dirty big white empty new hot red shiny",
    "house": "big old little new soft red wooden heavy empty blue clean",
    "body": "little clean dirty cold wet big sore",
    "nature": "big little tall green pretty old wet yellow brown",
    "vehicle": "big red fast blue old new little yellow green broken",
    "place": "big little quiet old green nice",
}

# by frame: base [past [participle]] | preposition | subjects | objects; P person, A animal, @kind all nouns of the kind
VERB_TABLE = {
    "transitive": """
        want | | PA | @toy @food @vehicle blanket hat
        find found found | | PA | @toy @clothes key shell acorn nest @food stick mouse
        see saw seen | | PA | @animal @person @vehicle star cloud nest boat
        like | | PA | @animal @food @toy @person @vehicle flower
        love | | PA | @person @animal @toy @food
        take took taken | | PA | @toy @food @dish @clothes key bag basket blanket
        need | | PA | @dish @clothes @house friend doctor key
        get got gotten | | PA | @food @dish @toy @clothes @house
        make made made | | P | cake sandwich pancake puppet kite nest loaf blanket basket
        look | at | PA | @animal book flower star @vehicle window @person
        help | | PA | @person @animal
        chase | | A | @animal ball @person butterfly leaf
        hold held held | | P | ball doll spoon kitten bunny cup balloon baby flower bag @toy
        bring brought brought | | PA | @food @toy @dish stick blanket @clothes
        hug | | P | @person doll puppy kitten @animal
        kiss | | P | @person puppy doll kitten
        wash | | P | @dish @clothes @body @vehicle apple @person
        throw threw thrown | | P | ball stick stone pillow block leaf
        catch caught caught | | PA | ball mouse balloon butterfly frog bee thief
        carry | | PA | bag basket box stick egg blanket baby stone @toy
        fix | | P | @vehicle @toy chair door clock lamp shelf
        follow | | PA | @person @animal @vehicle
        feed fed fed | | P | @animal baby
        wear wore worn | | P | @clothes
        hear heard heard | | PA | @animal bell whistle drum @person clock
        lose lost lost | | PA | @clothes @toy key tooth button feather
        buy bought bought | | P | @food @clothes @vehicle @toy
        build built built | | P | wagon boat sled nest shelf bed robot
        touch | | PA | @body flower frog shell star @animal
        kick | | P | ball stone box tree
        hide hid hidden | | PA | @toy @food key acorn egg
        tickle | | P | baby foot tummy @person
        bite bit bitten | | A | @food shoe stick finger @animal
        lick | | A | spoon bowl hand @animal nose
        visit | | P | @person @animal
        scare | | PA | @animal @person
        pull | | PA | wagon sled door sock blanket @vehicle
        push | | PA | wagon chair box @vehicle table
        ride rode ridden | | P | horse bike pony donkey elephant bus
        cover | | P | bowl doll pot bed nest basket
        steal stole stolen | | PA | @food @toy key
        cut cut cut | | P | apple cake loaf carrot sandwich
        choose chose chosen | | P | @toy @clothes @food
        watch | | PA | @animal @person star plane cloud
        thank | | P | @person
        brush | | P | tooth horse dog cat pony coat
        clean | | P | @dish @house shoe window
        draw drew drawn | | P | @animal @nature @person @vehicle
        wait | for | P | @person bus
        play | with | PA | @toy @animal @person
        listen | to | P | @person bird bell
        hurt hurt hurt | | PA | knee finger foot hand
        dress | | P | baby doll
    """,
    "optional": """
        eat ate eaten | | PA | bread soup cheese @food honey rice jam
        drink drank drunk | | PA | milk juice water soup
        read read read | | P | book
        paint | | P | @nature @animal wagon door shelf
        cook | | P | soup rice egg potato carrot
        sing sang sung | | P | song
    """,
    "alternating": """
        open | | P | door box window book bag basket drawer bottle jar shell
        break broke broken | | P | @dish @toy chair window egg stick wagon clock lamp
        close | | P | door box window book bag drawer jar
        roll | | P | ball marble stone egg apple wagon bottle car drum loaf
        move | | P | @house @vehicle stone block stick doll
        stop | | P | @vehicle clock ball robot wagon
        spin spun spun | | P | ball plate button marble bowl wagon clock
        ring rang rung | | P | bell clock
        bounce | | P | ball marble pillow
        drop | | P | @dish @food @toy key shoe stone
        burn | | P | cake pancake loaf stick egg potato
        freeze froze frozen | | P | pond puddle carrot pea berry
        crack | | P | egg nut plate bowl cup window acorn
        shake shook shaken | | P | @nature bell bottle table bed pillow jar
        fly flew flown | | P | kite plane
        grow grew grown | | P | @nature tomato carrot potato
        dry | | P | @clothes towel plate cup blanket
        sink sank sunk | | P | boat stone cup bottle
        tear tore torn | | P | shirt sock scarf coat book bag pocket
        slide slid slid | | P | box chair sled drawer plate
        pop | | P | balloon
        swing swung swung | | P | door bell lamp basket
    """,
    "intransitive": """
        sleep slept slept | | PA |
        cry | | P baby puppy kitten |
        laugh | | P monkey |
        run ran run | | PA |
        jump | | PA |
        fall fell fallen | | PA @toy @dish @nature @food |
        sit sat sat | | PA |
        smile | | P |
        dance | | P bear monkey |
        swim swam swum | | duck frog turtle goose penguin dog boy girl child |
        walk | | PA |
        bark | | dog puppy fox wolf |
        hop | | bunny frog bird kitten squirrel girl boy |
        sneeze | | PA |
        wave | | P |
        yawn | | PA |
        giggle | | P |
        shout | | P |
        disappear | | @toy @food @clothes PA |
        snore | | PA |
        stay | | PA |
        wander | | PA |
        arrive | | PA @vehicle |
        hide hid hidden | | PA |
        appear | | star cloud PA |
    """,
}
# what people do to themselves
REFLEXIVE_VERBS = """see hurt wash help like hide dry love dress scare cover tickle feed brush draw paint hug thank
    clean touch watch"""
